/** What docs/privacy.md says of a reader's data: where they are, where they are not, and what erases them. */

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { DIMENSION_NAMES } from '@postviews/client/src/figures.ts'
import { DEAD_QUEUE, VIEWS_QUEUE } from '@postviews/client/src/index.ts'
import { LOG_EVENTS } from '../packages/analytics/src/log.ts'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import { commandLine } from './support/command.ts'
import { ENGINES, type TestDatabase, type TestEngine } from './support/engines.ts'
import { messageCount, onChannel } from './support/published.ts'
import { COUNTED, type Service, startService } from './support/service.ts'
import { until } from './support/until.ts'
import { FIREFOX } from './support/views.ts'

const IP = '81.2.69.160'
const READER = {
  post_uuid: 'a-post',
  user_id: 770_077,
  ip: IP,
  user_agent: `${FIREFOX} told-by-browser`,
  referer: 'https://site.example/told-by-referer',
  url: '/told-by-path?utm_source=told-to-all&told=by-query',
}
/** What tells the reader. The host of the referer and the source do not. */
const PERSONAL = [IP, '770077', 'told-by-browser', 'told-by-referer']
const NEVER_KEPT = ['told-by-path', 'by-query']

/** A service that has counted the reader's view and refused another of them, and the program on its database. */
async function counted(t: TestContext, engine: TestEngine, settings: Record<string, string> = {}) {
  const { url: amqpUrl } = await testRabbitmq()
  const database = await engine.create(t)
  const service = await startService(t, {
    amqpUrl,
    databaseUrl: database.url,
    settings: { LOG_LEVEL: 'trace', ...settings },
  })
  await service.untilReady()
  const bodies = [READER, { ...READER, post_uuid: undefined }, 'no JSON of', { ...READER, timestamp: 'soon' }]
  await onChannel(amqpUrl, async channel => {
    for (const body of bodies) {
      const text = typeof body === 'string' ? `${body} ${PERSONAL.join(' ')}` : JSON.stringify(body)
      channel.sendToQueue(VIEWS_QUEUE, Buffer.from(text))
    }
    await channel.close()
  })
  await until('the view is counted', async () => (await service.metric(COUNTED)) === 1)
  await until('the others are dead letters', async () => (await messageCount(amqpUrl, DEAD_QUEUE)) === 3)
  const line = await commandLine(t, { DATABASE_URL: database.url, AMQP_URL: amqpUrl })
  return { service, database, ...line }
}

/** Everything in all tables. */
async function contentOf({ kind }: TestEngine, database: TestDatabase): Promise<string> {
  const tables = await database.query(
    kind === 'sqlite'
      ? "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
      : 'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()',
  )
  assert.ok(tables.length > 10)
  const rows = await Promise.all(tables.map(({ name }) => database.query(`SELECT * FROM ${name}`)))
  return JSON.stringify(rows)
}

function found(text: string, words: readonly string[]): string[] {
  return words.filter(word => text.includes(word))
}

/** The answers of all routes. */
async function answersOf(service: Service): Promise<Map<string, string>> {
  const { paths } = JSON.parse((await service.get('/api/v1/openapi.json')).text) as { paths: object }
  const asked = Object.keys(paths).flatMap(path =>
    DIMENSION_NAMES.map(dimension => path.replace('{uuid}', 'a-post').replace('{dimension}', dimension)),
  )
  const answers = new Map<string, string>()
  for (const path of new Set(asked)) {
    const { status, text } = await service.get(path === '/api/v1/posts/views' ? `${path}?uuids=a-post` : path)
    assert.equal(status, 200, path)
    answers.set(path, text)
  }
  assert.ok(answers.size > 30)
  return answers
}

/** The numbers in the answers, without the time at which they were read. */
function numbersIn(answers: ReadonlyMap<string, string>): [string, string][] {
  return [...answers]
    .filter(([path]) => /^\/api\/v1\/(?!status|openapi)/.test(path))
    .map(([path, text]) => [path, text.replace(/"as_of":"[^"]*"/, '')])
}

for (const engine of ENGINES) {
  test(`no log line, metric or answer tells a reader, on ${engine.name}`, async t => {
    const { service } = await counted(t, engine)
    const answers = [...(await answersOf(service)).values()].join('\n')
    const counts = ['"GB"', 'told-to-all', 'site.example']
    assert.deepEqual(found(answers, counts), counts, 'the numbers are there')
    assert.deepEqual(found(answers, [...PERSONAL, ...NEVER_KEPT]), [])
    await service.end('SIGTERM')
    const log = JSON.stringify(Object.keys(LOG_EVENTS).map(event => service.logged(event)))
    assert.match(log, /service\.stopped/)
    assert.deepEqual(found(log, [...PERSONAL, ...NEVER_KEPT]), [])
  })

  test(`the statement for access finds a reader, and forget leaves nothing of it in any table, on ${engine.name}`, async t => {
    const { service, database, run } = await counted(t, engine)
    const document = await readFile(join(import.meta.dirname, '../docs/privacy.md'), 'utf8')
    const [, statement = ''] = /```sql\n(.*?)```/s.exec(document) ?? []
    const byUser = statement.replace('= 7', '= 770077')
    assert.notEqual(byUser, statement)
    for (const sql of [byUser, statement.replace('user_id = 7', `ip = '${IP}'`)]) {
      const [row, ...others] = await database.query(sql)
      assert.deepEqual(found(JSON.stringify(row), PERSONAL), PERSONAL)
      assert.equal(others.length, 0)
    }
    assert.deepEqual(found(await contentOf(engine, database), [...PERSONAL, ...NEVER_KEPT]), PERSONAL)

    const before = numbersIn(await answersOf(service))
    assert.match((await run('forget --user 770077')).stdout, /^erased personal data from 1 raw row\n/)
    assert.deepEqual(found(await contentOf(engine, database), PERSONAL), [])
    assert.deepEqual(await database.query(byUser), [])
    assert.deepEqual(numbersIn(await answersOf(service)), before)
    // Which it says that it does not reach.
    assert.deepEqual(found((await run('dead list --body')).stdout, PERSONAL), PERSONAL)
    assert.equal((await run('dead purge --all')).stdout, 'purged 3\n')
  })

  test(`with IP_STORAGE=none no table ever has the address, and the country is counted, on ${engine.name}`, async t => {
    const { service, database } = await counted(t, engine, { IP_STORAGE: 'none' })
    assert.deepEqual(found(await contentOf(engine, database), [IP]), [])
    const { text } = await service.get('/api/v1/breakdowns/country?days=1')
    assert.deepEqual(JSON.parse(text).values, [{ value: 'GB', views: 1, bots: 0 }])
  })
}
