/** The versions that docs/compatibility.md names for the chosen stack. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { chosenStack } from '../../tools/stack/stacks.ts'

/**
 * Compares by major and minor: what comes after them changes nothing that is promised.
 * @param numbers how many of its numbers say what it promises: PostgreSQL has only a major version and its corrections
 */
export function assertNamed(what: string, version: string, numbers: 1 | 2 = 2): void {
  const stack = chosenStack()
  assert.ok(stack, 'run it with --stack=NAME')
  const rows = readFileSync(join(import.meta.dirname, '../../docs/compatibility.md'), 'utf8').split('\n')
  const row = rows.find(line => line.startsWith(`| \`${stack.name}\` |`)) ?? ''
  const pattern = numbers === 1 ? '\\d+' : '\\d+\\.\\d+'
  const [short] = new RegExp(`^${pattern}`).exec(version) ?? []
  const named = new RegExp(`${what} (${pattern})`).exec(row)?.[1]
  assert.equal(named, short, `docs/compatibility.md, ${stack.name}: ${what} ${version} was run`)
}
