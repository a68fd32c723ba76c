/** How well user agents are judged, on a list of agents whose labels are our own: `test/agents.tsv`. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { familiesOf } from '../packages/analytics/src/derive/families.ts'
import { isBot, machineOf, readMachines } from '../packages/analytics/src/derive/machines.ts'

const AGENTS = readFileSync(new URL('./agents.tsv', import.meta.url), 'utf8')
  .split('\n')
  .filter(line => line !== '' && !line.startsWith('#'))
  .map(line => line.split('\t'))
const PEOPLE = AGENTS.filter(([kind]) => kind === 'person').map(([, browser, os, device, agent]) => ({
  browser,
  os,
  device,
  agent: agent!,
}))
const MACHINES = AGENTS.filter(([kind]) => kind === 'machine').map(([, name, purpose, , agent]) => ({
  name,
  purpose,
  agent: agent!,
}))

/** Says how many are right and which are wrong. */
function assertRight<T extends { agent: string }>(
  t: TestContext,
  all: readonly T[],
  isRight: (labelled: T) => boolean,
  mostWrong: number,
): void {
  const wrong = all.filter(labelled => !isRight(labelled))
  t.diagnostic(`${all.length - wrong.length} of ${all.length} right`)
  for (const labelled of wrong) t.diagnostic(`wrong: ${JSON.stringify(labelled)}`)
  assert.ok(wrong.length <= all.length * mostWrong, `${wrong.length} of ${all.length}`)
}

test('the list has people and machines', () => {
  assert.ok(PEOPLE.length >= 195)
  assert.ok(MACHINES.length >= 120)
})

test('at most 1 of 200 people is taken for a machine', t => {
  assertRight(t, PEOPLE, ({ agent }) => !isBot(agent), 1 / 200)
})

test('at most 1 of 100 machines that say what they are is missed', t => {
  assertRight(t, MACHINES, ({ agent }) => isBot(agent), 1 / 100)
})

for (const family of ['browser', 'os', 'device'] as const) {
  test(`at most 1 of 50 people has another ${family}`, t => {
    assertRight(t, PEOPLE, labelled => familiesOf(labelled.agent)[family] === labelled[family], 1 / 50)
  })
}

for (const what of ['name', 'purpose'] as const) {
  test(`at most 1 of 50 machines has another ${what}`, t => {
    assertRight(t, MACHINES, labelled => machineOf(labelled.agent)[what] === labelled[what], 1 / 50)
  })
}

test('a machine that the list does not name is unknown, whatever it calls itself', () => {
  assert.deepEqual(machineOf('Made-Up-Crawler/1.0 (bot)'), { name: 'unknown', purpose: 'other' })
})

test('what an agent makes up is no family', () => {
  for (const agent of ['', 'MyOwnBrowser/7.0', 'mIDORi/9.0', 'Mozilla/5.0 (<b>x</b>; Model 7) =1+1/2.0'])
    assert.deepEqual(familiesOf(agent), { device: null, browser: null, os: null }, agent)
})

test('a line that names no machine is refused', () => {
  for (const line of ['Bot', 'Bot\tsearch', 'Bot\tsearches\tbot', 'Bot\tsearch\tbot\tmore'])
    assert.throws(() => readMachines(line), /machines\.tsv: not a name, a purpose and tokens: Bot/, line)
})

test('a machine that claims to run on a phone is still one', () => {
  const browser = 'AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0'
  for (const agent of [
    `Mozilla/5.0 (Linux; Android 14; Pixel 8) ${browser} Mobile (compatible; Googlebot/2.1)`,
    `Mozilla/5.0 (Linux; Android 9; MyCrawler/1.0) ${browser} Mobile Safari/537.36`,
    'Mozilla/5.0 (Linux; Android 5.0; bingbot/2.0',
    'Android 9; Pixel 5 Googlebot/2.1 +http://www.google.com/bot.html',
  ])
    assert.ok(isBot(agent), agent)
})
