/** What the documents say of the code is true of it. */

import assert from 'node:assert/strict'
import { glob, readFile } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { test } from 'node:test'
import { INVALID_REASONS } from '@postviews/client/src/index.ts'
import { pino } from 'pino'
import { SETTINGS } from '../packages/analytics/src/config.ts'
import { DEAD_REASONS } from '../packages/analytics/src/ingest/dead.ts'
import { LOG_EVENTS } from '../packages/analytics/src/log.ts'
import { createMetrics } from '../packages/analytics/src/metrics.ts'
import { KEPT } from '../packages/analytics/src/store/kept.ts'
import { commandLine } from './support/command.ts'

const ROOT = resolve(import.meta.dirname, '..')
const DOCUMENTS = ['*.md', 'docs/*.md', 'decisions/*.md', 'packages/*/*.md']
const SOURCES = [
  '*.{md,json}',
  'LICENSE',
  '{docs,decisions,deploy,test,tools,examples,bench}/**/*',
  'packages/*/*',
  'packages/*/src/**/*',
]

async function filesOf(patterns: string[]): Promise<string[]> {
  const options = { cwd: ROOT, exclude: (path: string) => /(^|\/)(node_modules|dist)(\/|$)/.test(path) }
  const files: string[] = []
  for await (const file of glob(patterns, options)) files.push(file)
  return files.sort()
}

function read(path: string): Promise<string> {
  return readFile(join(ROOT, path), 'utf8')
}

/** The cells of every row of the tables in a text, headings left out. */
function rowsOf(text: string): string[][] {
  const lines = text.split('\n').filter(line => line.startsWith('| `') || line.startsWith('| ['))
  return lines.map(line =>
    line
      .slice(1, -1)
      .split(/ ?\| ?/)
      .map(cell => cell.trim()),
  )
}

/** The part of a document under one heading. */
function sectionOf(text: string, heading: string): string {
  const [, after] = text.split(`\n## ${heading}\n`)
  assert.ok(after !== undefined, `there is no heading ${heading}`)
  return after.split('\n## ')[0]!
}

function bare(cell: string): string {
  return cell.replaceAll('`', '')
}

test('the README lists every setting, with its default and what it is', async () => {
  const rows = rowsOf(sectionOf(await read('README.md'), 'Settings'))
  assert.deepEqual(
    rows,
    SETTINGS.map(({ name, fallback, help }) => [`\`${name}\``, fallback && `\`${fallback}\``, help]),
  )
})

test('the README lists every command that there is, and no other', async t => {
  const { run } = await commandLine(t)
  const commandsIn = (help: string) =>
    [...help.split('\nCommands:\n')[1]!.matchAll(/^ {2}([a-z]+)/gm)].map(([, name]) => name!)
  const isOwn = (name: string) => name !== 'help'
  const top = commandsIn((await run('--help')).stdout).filter(isOwn)
  const dead = commandsIn((await run('dead --help')).stdout).filter(isOwn)
  const there = top.flatMap(name => (name === 'dead' ? dead.map(each => `dead ${each}`) : [name]))

  const listed = rowsOf(sectionOf(await read('README.md'), 'Commands')).flatMap(([cell]) =>
    [...cell!.matchAll(/`postviews ([a-z ]+)`/g)].map(([, name]) => name),
  )
  assert.deepEqual(listed.toSorted(), there.toSorted())
})

test('commands and options in the documents are there', async t => {
  const { run } = await commandLine(t)
  const helps = new Map<string, string>()
  for (const path of await filesOf(DOCUMENTS)) {
    for (const [, line] of (await read(path)).matchAll(/(?:`|^|=\w+ )postviews ([a-z][^`#\n]*)/gm)) {
      const words = line!.trim().split(' ')
      const name = words[0] === 'dead' && /^[a-z]/.test(words[1] ?? '') ? `dead ${words[1]}` : words[0]!
      let help = helps.get(name)
      if (help === undefined) {
        const outcome = await run(`${name} --help`)
        assert.equal(outcome.code, 0, `${path}: postviews ${name}`)
        help = outcome.stdout
        helps.set(name, help)
      }
      for (const option of words.filter(word => word.startsWith('--')))
        assert.ok(option === '--help' || help.includes(` ${option}`), `${path}: postviews ${name} ${option}`)
    }
  }
})

test('the README lists every route, and no document names one that is not there', async () => {
  const { paths } = JSON.parse(await read('docs/openapi.json'))
  const named = async (path: string) =>
    [...(await read(path)).matchAll(/`GET (\/[^`?]*)/g)].map(([, route]) => route!)
  assert.deepEqual(new Set(await named('README.md')), new Set(Object.keys(paths)))
  for (const path of await filesOf(DOCUMENTS))
    for (const route of await named(path)) assert.ok(route in paths, `${path}: GET ${route}`)
})

test('the contract lists every reason for a dead letter, with its meaning', async () => {
  const rows = rowsOf(sectionOf(await read('docs/contract.md'), 'Dead letters'))
  assert.deepEqual(
    rows.map(([reason, meaning]) => [bare(reason!), meaning]),
    [...Object.entries(INVALID_REASONS), ['unstorable', DEAD_REASONS.unstorable]],
  )
  for (const [reason, , advice] of rows) assert.ok(advice !== '', reason)
  const text = await read('docs/contract.md')
  for (const reason of [
    'delivery_limit',
    'expired',
    'maxlen',
    'rejected',
  ] satisfies (keyof typeof DEAD_REASONS)[])
    assert.ok(text.includes(`\`${reason}\``), reason)
})

test('operations lists every log event, at the levels it is logged at, and no other is logged', async () => {
  const logged = new Map<string, Set<string>>()
  for (const path of await filesOf(['packages/analytics/src/**/*.ts'])) {
    if (path.endsWith('.test.ts')) continue
    for (const { level, event } of logCallsIn(await read(path))) {
      assert.ok(event in LOG_EVENTS, `${path} logs ${event}, which is not in LOG_EVENTS`)
      logged.set(event, (logged.get(event) ?? new Set()).add(level))
    }
  }
  assert.deepEqual(
    [...logged.keys()].sort(),
    Object.keys(LOG_EVENTS).sort(),
    'LOG_EVENTS, and what is logged',
  )

  const rows = rowsOf(sectionOf(await read('docs/operations.md'), 'The log'))
  assert.deepEqual(
    rows.map(([event, levels]) => [bare(event!), new Set(levels!.split(', '))]),
    Object.keys(LOG_EVENTS).map(event => [event, logged.get(event)]),
  )
})

/** Every call of a log in a source: its level, and the event it names last. */
function logCallsIn(source: string): { level: string; event: string }[] {
  return [...source.matchAll(/\blog\.(debug|info|warn|error|fatal)\(/g)].map(
    ({ 1: level, index, 0: call }) => {
      let depth = 1
      let end = index + call.length
      while (depth > 0) {
        if (source[end] === '(') depth++
        if (source[end] === ')') depth--
        end++
      }
      const texts = [...source.slice(index, end).matchAll(/'([^']*)'/g)]
      return { level: level!, event: texts.at(-1)?.[1] ?? 'nothing' }
    },
  )
}

test('operations and the relay say what the numbers of their levels are', async () => {
  const saidIn = async (path: string) => {
    const [, list] = /`level` is a number: ([^.]*)\./.exec(await read(path)) ?? []
    return Object.fromEntries(
      [...list!.matchAll(/(\d+) (\w+)/g)].map(([, number, level]) => [level, Number(number)]),
    )
  }
  assert.deepEqual(await saidIn('docs/operations.md'), pino.levels.values)
  const [, table] = /NUMBERS: .*? = \{(.*?)\}/.exec(await read('packages/client/src/relay/log.ts'))!
  const ofRelay = [...table!.matchAll(/(\w+): (\d+)/g)].map(([, level, number]) => [level, Number(number)])
  // What is silent is not logged.
  const { silent: _, ...logged } = Object.fromEntries(ofRelay)
  assert.deepEqual(await saidIn('docs/relay.md'), logged)
})

test('operations lists every metric of ours', async () => {
  const registered = createMetrics()
    .registry.getMetricsAsArray()
    .map(({ name }) => name)
    .filter(name => name.startsWith('postviews_'))
  const rows = rowsOf(sectionOf(await read('docs/operations.md'), 'Metrics'))
  const listed = rows.flatMap(([names]) => bare(names!).split(', '))
  assert.deepEqual(listed.toSorted(), registered.toSorted())
})

test('privacy lists every column of a raw row, and what IP_STORAGE=none and forget leave of it', async () => {
  const section = sectionOf(await read('docs/privacy.md'), 'What is kept, and for how long')
  const rows = rowsOf(section.split('\n### ')[1]!)
  assert.deepEqual(
    rows.map(([column, , unstored, forgotten]) => [bare(column!), unstored, forgotten]).toSorted(),
    Object.values(KEPT)
      .map(({ column, isPersonal }) => [
        column,
        column === 'ip' ? 'none' : 'kept',
        isPersonal ? 'erased' : 'kept',
      ])
      .toSorted(),
  )
})

test('every relative link leads to a file, and to a heading where it names one', async () => {
  for (const path of await filesOf(DOCUMENTS)) {
    for (const [, target] of (await read(path)).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target!)) continue
      const [file = '', anchor] = target!.split('#')
      const found = file === '' ? path : relative(ROOT, resolve(ROOT, dirname(path), file))
      if (found === 'decisions') continue
      const text = await read(found).catch(() => undefined)
      assert.ok(text !== undefined, `${path} links to ${target}`)
      const anchors = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading!))
      assert.ok(anchor === undefined || anchors.includes(anchor), `${path} links to ${target}`)
    }
  }
})

/** As GitHub makes it of a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-')
}

test('every file that a document names is there', async () => {
  const files = await filesOf(SOURCES)
  for (const path of await filesOf(DOCUMENTS)) {
    const text = await read(path)
    const quoted = [...text.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code!)
    const boxes = [...text.matchAll(/\["([^"]+)"\]/g)].flatMap(([, box]) => box!.split('<br>'))
    for (const name of [...quoted, ...boxes]) {
      // `x.test.ts`, `store/NAME/…` and `*.patch` stand for others.
      if (!/^[\w@./-]+\.(ts|md|ya?ml|json|sql)$/.test(name) || /(^|\/)x\.|[A-Z]{3}[./-]/.test(name)) continue
      assert.ok(
        files.some(file => file === name || file.endsWith(`/${name}`)),
        `${path} names ${name}`,
      )
    }
  }
})

test('every difference between MariaDB and MySQL is held by the test that it names', async () => {
  const [, section] = (await read('docs/compatibility.md')).split('\n### MariaDB and MySQL\n')
  const rows = section!
    .split('\n#')[0]!
    .split('\n')
    .filter(line => line.startsWith('| '))
    .slice(1)
  assert.ok(rows.length > 10)
  for (const row of rows) {
    const [, file, name] = /\| `(test\/[\w.-]+\.ts)`: ([^|]+) \|$/.exec(row) ?? []
    assert.ok(file !== undefined, row)
    const text = await read(file)
    const isThere = ['test', 'promises'].some(
      says => text.includes(`${says}('${name}', async`) || text.includes(`${says}("${name}", async`),
    )
    assert.ok(isThere, row)
  }
})

test('every npm script that a document names is there', async () => {
  const { scripts } = JSON.parse(await read('package.json'))
  for (const path of await filesOf(DOCUMENTS)) {
    for (const [, named] of (await read(path)).matchAll(/\bnpm (start|test|run [\w:]+)/g)) {
      const name = named!.replace('run ', '')
      assert.ok(name in scripts, `${path}: npm ${named}`)
    }
  }
})

test('the version is the same wherever it is told', async () => {
  const { version } = JSON.parse(await read('packages/analytics/package.json'))
  for (const path of ['package.json', 'packages/client/package.json'])
    assert.equal(JSON.parse(await read(path)).version, version, path)
  assert.match(await read('CHANGELOG.md'), new RegExp(`\\b${version.replaceAll('.', '\\.')}\\b`))
})
