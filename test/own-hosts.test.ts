/** The site's own hosts, as processes are told them: what each records, uses or refuses, and what it says. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import { SQLITE } from './support/engines.ts'
import { testTracker } from './support/published.ts'
import { postviews, type Service, startService } from './support/service.ts'
import { declareQueues } from './support/system.ts'
import { until } from './support/until.ts'

type Command = 'serve' | 'consume' | 'api'

/** A broker, an empty database, and processes on both. */
async function system(t: TestContext) {
  const { url: amqpUrl } = await testRabbitmq()
  await declareQueues(amqpUrl)
  const { url: databaseUrl } = await SQLITE.create(t)
  const tracker = testTracker(t, { url: amqpUrl })
  const surroundings = (siteHosts: string | null) => ({
    amqpUrl,
    databaseUrl,
    settings: siteHosts === null ? {} : { SITE_HOSTS: siteHosts },
  })
  return {
    start: (command: Command, siteHosts: string | null) =>
      startService(t, { command, ...surroundings(siteHosts) }),
    run: (command: string, siteHosts: string | null) => postviews(surroundings(siteHosts), command),
    publish: (referer: string) => tracker.trackView({ post_uuid: '42', referer }),
  }
}

async function referrersOf(api: Service): Promise<unknown[]> {
  return JSON.parse((await api.get('/api/v1/referrers')).text).referrers
}

/** Why it ended. */
async function failureOf(service: Service): Promise<unknown> {
  await until('it ends', () => !service.isRunning)
  assert.equal((await service.exited).code, 1)
  return service.logged('service.failed')[0]?.['error']
}

test('another list stops consumers that began under the one before, and is used by them when they come again', async t => {
  const { start, run, publish } = await system(t)
  await run('migrate', 'a.example')
  const consume = await start('consume', 'www.A.example:443')
  const api = await start('api', null)
  await consume.untilReady()
  await api.untilReady()
  publish('https://www.a.example/')
  publish('https://b.example/')
  const counted = async (views: number) =>
    until(`${views} views are counted`, async () => {
      const { text } = await api.get('/api/v1/views')
      return JSON.parse(text).views === views
    })
  await counted(2)
  assert.deepEqual(await referrersOf(api), [
    { host: 'a.example', views: 1, internal: true },
    { host: 'b.example', views: 1 },
  ])

  const changed = await run('migrate', 'b.example')
  assert.deepEqual(
    [changed.code, changed.output],
    [0, "replaced the site's own hosts a.example with b.example\nthe database is up to date\n"],
  )
  assert.deepEqual(await referrersOf(api), [
    { host: 'a.example', views: 1 },
    { host: 'b.example', views: 1, internal: true },
  ])
  publish('https://b.example/')
  assert.match(String(await failureOf(consume)), /replaced/)
  assert.equal(JSON.parse((await api.get('/api/v1/views')).text).views, 2)

  // With the list it had, as whoever restarts it starts it.
  const again = await start('consume', 'a.example')
  await counted(3)
  const [warned] = again.logged('hosts.outdated')
  assert.deepEqual([warned?.['set'], warned?.['used']], [['a.example'], ['b.example']])
  assert.deepEqual(again.logged('service.started')[0]?.['siteHosts'], ['b.example'])
  assert.deepEqual(await referrersOf(api), [
    { host: 'b.example', views: 2, internal: true },
    { host: 'a.example', views: 1 },
  ])
  assert.equal((await run('verify', null)).code, 0)
})

test('serve records another list and says so, keeps the recorded one where it has none, and never goes back', async t => {
  const { start, run } = await system(t)
  const startAndEnd = async (siteHosts: string | null) => {
    const service = await start('serve', siteHosts)
    await service.untilReady()
    await service.end('SIGTERM')
    return {
      replaced: service.logged('agreement.replaced').map(({ replaced }) => replaced),
      isWarned: service.logged('hosts.outdated').length > 0,
      used: service.logged('service.started')[0]?.['siteHosts'],
    }
  }
  const stays = { replaced: [], isWarned: false }
  const by = (before: string, now: string) => [[`the site's own hosts ${before} with ${now}`]]
  const a = ['*.a.example', 'a.example']
  assert.deepEqual(await startAndEnd('a.example,*.a.example'), {
    ...stays,
    replaced: by('none', '*.a.example,a.example'),
    used: a,
  })
  for (const siteHosts of [null, '', 'www.a.example, *.a.example'])
    assert.deepEqual(await startAndEnd(siteHosts), { ...stays, used: a })
  assert.deepEqual(await startAndEnd('b.example'), {
    ...stays,
    replaced: by('*.a.example,a.example', 'b.example'),
    used: ['b.example'],
  })
  for (const siteHosts of ['a.example,*.a.example', 'none'])
    assert.deepEqual(await startAndEnd(siteHosts), { ...stays, isWarned: true, used: ['b.example'] })

  assert.match((await run('migrate', 'none')).output, /^replaced the site's own hosts b\.example with none\n/)
  assert.equal((await run('migrate', 'none')).output, 'the database is up to date\n')
  assert.deepEqual(await startAndEnd(null), { ...stays, used: [] })
})

test('consume and api refuse a list that was never recorded, and say what records it', async t => {
  const { start, run } = await system(t)
  await run('migrate', 'a.example')
  for (const command of ['consume', 'api'] as const)
    assert.equal(
      await failureOf(await start(command, 'b.example')),
      'SITE_HOSTS is b.example, but the database records a.example: run `postviews migrate` to record the new list, or leave SITE_HOSTS unset to use the recorded one',
    )
  // These count nothing by it.
  for (const command of ['verify', 'rebuild', 'prune'])
    assert.equal((await run(command, 'b.example')).code, 0, command)
  await run('migrate', 'b.example')
  await (await start('consume', 'b.example')).untilReady()
})
