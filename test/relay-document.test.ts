/** What docs/relay.md and deploy/systemd say of the relay is true of it. */

import assert from 'node:assert/strict'
import { glob, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { encodeView } from '../packages/client/src/encode.ts'
import { INVALID_REASONS } from '../packages/client/src/index.ts'
import { RELAY_SETTINGS, readRelayConfig } from '../packages/client/src/relay/config.ts'
import { TEMPORARY_REASONS } from '../packages/client/src/relay/intake.ts'
import { RELAY_LOG_EVENTS } from '../packages/client/src/relay/log.ts'
import { RELAY_METRICS } from '../packages/client/src/relay/metrics.ts'
import { encodeRecord } from '../packages/client/src/relay/record.ts'

const ROOT = resolve(import.meta.dirname, '..')
const text = (path: string) => readFile(join(ROOT, path), 'utf8')
const document = await text('docs/relay.md')

/** Rows that begin with code, of the first table below that heading whose head has that word. */
function rowsOf(heading: string, word: string): string[][] {
  const section = document.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0]
  const table = section?.split('\n\n').find(block => block.startsWith('| ') && block.includes(`| ${word}`))
  assert.ok(table !== undefined, `${heading} has no table with ${word}`)
  return table
    .split('\n')
    .filter(line => line.startsWith('| `'))
    .map(line =>
      line
        .slice(1, -1)
        .split(/ ?\| ?/)
        .map(cell => cell.trim()),
    )
}

/** What is between backticks. */
function namesIn(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!)
}

test('lists every setting, with its default and what it is', () => {
  assert.deepEqual(
    rowsOf('Settings', 'Default'),
    RELAY_SETTINGS.map(({ name, fallback, help }) => [`\`${name}\``, fallback && `\`${fallback}\``, help]),
  )
})

test('lists every code that a view is refused with, and which are for now', () => {
  // A relay never gives these: it does not judge age, and a line holds one event, not an array.
  const { too_old: _, empty: __, too_many: ___, ...lasting } = INVALID_REASONS
  const rows = rowsOf('The protocol', 'What it means')
  // After the first that is for good, all are.
  const firstLasting = rows.findIndex(([, , advice]) => advice!.startsWith('never again'))
  const codesIn = (some: string[][]) => some.flatMap(([cell]) => namesIn(cell!)).sort()
  assert.deepEqual(codesIn(rows.slice(0, firstLasting)), Object.keys(TEMPORARY_REASONS).sort())
  assert.deepEqual(codesIn(rows.slice(firstLasting)), Object.keys(lasting).sort())
})

test('lists every metric', () => {
  const listed = rowsOf('Health and metrics', 'Meaning').flatMap(([cell]) => namesIn(cell!))
  assert.deepEqual(listed.sort(), RELAY_METRICS.map(({ name }) => `postviews_relay_${name}`).sort())
})

test('lists every log event, at the level it is logged at', async () => {
  const levels = new Map<string, string>()
  for await (const path of glob('packages/client/src/relay/*.ts', { cwd: ROOT })) {
    for (const [, level, event] of (await text(path)).matchAll(
      /\.(?:write|rarely)\(\s*'(\w+)',\s*'([\w.]+)'/g,
    ))
      levels.set(event!, level!)
  }
  // What the publisher tells is told as it is.
  const ofBroker = (await text('packages/client/src/log.ts'))
    .split('event:')[1]!
    .split('detail')[0]!
    .matchAll(/'((?:broker|topology|message)\.\w+)'/g)
  for (const [, event] of ofBroker) levels.set(event!, /connected|unblocked/.test(event!) ? 'info' : 'warn')

  const listed = rowsOf('The log', 'Level').flatMap(([cell, level]) =>
    namesIn(cell!).map(event => [event, level!] as const),
  )
  assert.deepEqual(new Map(listed), levels)
  for (const event of Object.keys(RELAY_LOG_EVENTS)) assert.ok(levels.has(event), event)
})

test('says how much room a view takes', () => {
  const event = {
    post_uuid: '0f8fad5b-d9cb-469f-a165-70867728950e',
    ip: '203.0.113.7',
    user_agent:
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
    referer: 'https://www.google.com/',
  }
  const encoded = encodeView(event)
  assert.ok(typeof encoded !== 'string')
  const { length } = encodeRecord({ id: encoded.id!, json: encoded.json })
  const said = Number(/takes about (\d+) bytes/.exec(document)?.[1])
  assert.ok(Math.abs(length - said) <= said / 10, `${length} bytes`)
})

test('the page in PHP that compose runs is the client of the document', async () => {
  const [, php] = /```php\n(.*?)```/s.exec(document) ?? []
  assert.equal(await text('examples/relay/view.php'), php)
})

test('the units start a program that is there, with settings that it takes', async () => {
  const service = await text('deploy/systemd/postviews-relay.service')
  const [, started] = /^ExecStart=((?:.*\\\n)*.*)$/m.exec(service) ?? []
  const [node, ...words] = started!.replaceAll('\\\n', ' ').split(/ +/)
  // Node itself: the socket is handed over to the process that is started, and to no child of it.
  assert.equal(node, '/usr/bin/node')
  const program = words.pop()!.replace('/opt/postviews/', '')
  // What the program starts itself again with elsewhere would lose the socket here.
  const [, flags] = /const FLAGS = \[(.*?)\]/s.exec(await text(program))!
  assert.deepEqual(
    words,
    [...flags!.matchAll(/'([^']+)'/g)].map(([, flag]) => flag),
  )
  const variables = [
    ...service.matchAll(/^Environment=(\w+)=(.*)$/gm),
    // What is commented out is to be right as well.
    ...(await text('deploy/systemd/relay.env')).matchAll(/^#?(\w+)=(.*)$/gm),
  ].map(([, name, value]) => [name!, value!] as const)
  for (const name of ['AMQP_URL', 'RELAY_SPOOL', 'RELAY_PORT', 'RELAY_MAX_BYTES'])
    assert.ok(new Map(variables).has(name), name)
  for (const [name] of variables)
    assert.ok(
      RELAY_SETTINGS.some(setting => setting.name === name),
      name,
    )
  readRelayConfig(Object.fromEntries(variables))

  const [, spool] = /^Environment=RELAY_SPOOL=\/var\/lib\/(.*)$/m.exec(service) ?? []
  assert.match(service, new RegExp(`^StateDirectory=${spool}$`, 'm'))
  assert.match(service, /^StateDirectoryMode=0700$/m)
  assert.match(service, /^Restart=always$/m)
  const [, path] = /^ListenStream=(\S+)$/m.exec(await text('deploy/systemd/postviews-relay.socket')) ?? []
  assert.ok(document.includes(`UNIX-CONNECT:${path}`), path)
})
