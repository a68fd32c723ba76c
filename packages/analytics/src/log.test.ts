import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { describeError, LOG_EVENTS } from './log.ts'

/** The log lines of a program with these statements and this log level. */
function linesOf(level: string, statements: string): Record<string, unknown>[] {
  const program = `
    import { createLog } from ${JSON.stringify(new URL('./log.ts', import.meta.url).href)}
    const log = createLog(${JSON.stringify(level)})
    ${statements}`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    encoding: 'utf8',
  })
  assert.equal(stderr, '')
  return stdout
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line))
}

test('a log line is JSON: when, how grave, which event, and what was said of it', () => {
  const [line, ...others] = linesOf('info', `log.warn({ connection: 'consumer' }, 'broker.lost')`)
  assert.deepEqual(others, [])
  const { time, ...rest } = line!
  assert.deepEqual(rest, { level: 40, connection: 'consumer', event: 'broker.lost' })
  assert.match(String(time), /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/)
})

test('what is below the level is not written', () => {
  const lines = linesOf('warn', `log.info({}, 'service.started'); log.error({}, 'store.lost')`)
  assert.deepEqual(
    lines.map(({ event }) => event),
    ['store.lost'],
  )
  assert.deepEqual(linesOf('silent', `log.fatal({}, 'service.failed')`), [])
})

test('an error is described with its code, and what caused it', () => {
  const refused = Object.assign(new Error('connect 127.0.0.1:3306'), { code: 'ECONNREFUSED' })
  const error = new Error('the store is away', { cause: refused })
  assert.equal(describeError(error), 'the store is away: connect 127.0.0.1:3306 (ECONNREFUSED)')
  assert.equal(describeError('text'), 'text')
  assert.equal(describeError(undefined), 'undefined')
})

test('of a name with several addresses, of which none answers, each is told', () => {
  const refused = (address: string) => new Error(`connect ECONNREFUSED ${address}`)
  const error = new Error('fetch failed', {
    cause: new AggregateError([refused('::1:1'), refused('127.0.0.1:1')]),
  })
  const said = 'fetch failed: connect ECONNREFUSED ::1:1; connect ECONNREFUSED 127.0.0.1:1'
  assert.equal(describeError(error), said)
})

test('an error is described without its stack and without what else hangs on it', () => {
  const error = Object.assign(new Error('refused'), { sql: `INSERT '192.0.2.1'`, password: 'hunter2' })
  assert.equal(describeError(error), 'refused')
})

test('a code that the message tells already is not repeated', () => {
  const error = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:3306'), { code: 'ECONNREFUSED' })
  assert.equal(describeError(error), 'connect ECONNREFUSED 127.0.0.1:3306')
})

test('every event has a fixed name, a part and what happened to it, and a meaning', () => {
  for (const [event, meaning] of Object.entries(LOG_EVENTS)) {
    assert.match(event, /^[a-z]+\.[a-z_]+$/)
    assert.ok(meaning.length > 10, event)
  }
})
