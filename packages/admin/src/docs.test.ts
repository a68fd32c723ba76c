/** What docs/panel.md says about the panel is true. */

import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { SETTINGS } from './config.ts'
import { LOG_EVENTS } from './log.ts'

const PAGE = readFileSync(join(import.meta.dirname, '../../../docs/panel.md'), 'utf8')

/** The cells of the rows of the table under a heading. */
function rowsUnder(heading: string): string[][] {
  const section = PAGE.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? ''
  return section
    .split('\n')
    .filter(line => line.startsWith('| `'))
    .map(line =>
      line
        .slice(1, -1)
        .split('|')
        .map(cell => cell.trim()),
    )
}

test('docs/panel.md lists every setting, with its default and what it is', () => {
  assert.deepEqual(
    rowsUnder('Settings'),
    SETTINGS.map(({ name, fallback, help }) => [`\`${name}\``, fallback && `\`${fallback}\``, help]),
  )
})

test('docs/panel.md lists every event that is logged, and every one of them is', () => {
  assert.deepEqual(
    rowsUnder('The log'),
    Object.entries(LOG_EVENTS).map(([event, meaning]) => [`\`${event}\``, meaning]),
  )
  const files = globSync('*.ts', { cwd: import.meta.dirname, exclude: ['*.test.ts', 'log.ts'] })
  const source = files.map(file => readFileSync(join(import.meta.dirname, file), 'utf8')).join('\n')
  const logged = [...source.matchAll(/'((?:panel|log|password|sign_in|analytics|posts|request)\.\w+)'/g)]
  assert.deepEqual(new Set(logged.map(([, event]) => event)), new Set(Object.keys(LOG_EVENTS)))
})
