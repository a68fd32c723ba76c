/** How well machines are told from people, on a list of agents whose labels are our own: `test/agents.tsv`. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { isBot } from '../packages/analytics/src/store/bots.ts'

const AGENTS = readFileSync(new URL('./agents.tsv', import.meta.url), 'utf8')
  .split('\n')
  .filter(line => line !== '' && !line.startsWith('#'))
  .map(line => {
    const fields = line.split('\t')
    return { kind: fields[0]!, name: fields[1]!, agent: fields[4]! }
  })

function judged(t: TestContext, kind: string, isRight: (agent: string) => boolean) {
  const all = AGENTS.filter(each => each.kind === kind)
  const wrong = all.filter(({ agent }) => !isRight(agent))
  t.diagnostic(`${all.length - wrong.length} of ${all.length} right`)
  for (const { name, agent } of wrong) t.diagnostic(`wrong: ${name}: ${agent}`)
  return { all: all.length, wrong: wrong.length }
}

test('at most 1 of 200 people is taken for a machine', t => {
  const { all, wrong } = judged(t, 'person', agent => !isBot(agent))
  assert.ok(all >= 195)
  assert.ok(wrong <= all / 200, `${wrong} of ${all}`)
})

test('at most 1 of 100 machines that say what they are is missed', t => {
  const { all, wrong } = judged(t, 'machine', isBot)
  assert.ok(all >= 120)
  assert.ok(wrong <= all / 100, `${wrong} of ${all}`)
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
