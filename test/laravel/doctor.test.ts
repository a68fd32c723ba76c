/** `php artisan postviews:doctor` on real servers: what is well is found well, and what is broken is named with what to do. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { testRabbitmq } from '../../tools/stack/for-tests.ts'
import { type LaravelApp, laravelApp } from '../support/laravel-app.ts'
import { startCounting } from '../support/laravel-visits.ts'
import { API_KEY, startService } from '../support/service.ts'

interface Finding {
  name: string
  status: 'ok' | 'warning' | 'failed' | 'skipped'
  detail: string
  todo: string | null
}

interface Diagnosis {
  code: number | null
  findings: Finding[]
  of(name: string): Finding
}

async function examine(app: LaravelApp, ...args: string[]): Promise<Diagnosis> {
  const { code, stdout, stderr } = await app.artisan('postviews:doctor', '--json', ...args)
  assert.equal(stderr, '')
  assert.ok(!stdout.includes(API_KEY) && !stdout.includes('hidden'))
  const { ok, checks } = JSON.parse(stdout) as { ok: boolean; checks: Finding[] }
  assert.equal(ok, code === 0)
  return {
    code,
    findings: checks,
    of: name => checks.findLast(each => each.name === name)!,
  }
}

function env(app: LaravelApp, name: string, value: string): Promise<void> {
  return app.write('.env', `${app.read('.env')}${name}="${value}"\n`)
}

async function startAll(t: TestContext) {
  const { url } = await testRabbitmq()
  const counting = await startCounting(t, url)
  const app = await laravelApp(t, {
    env: {
      POSTVIEWS_AMQP_URL: url,
      // As `npm start` prints it.
      POSTVIEWS_API_URL: `${counting.service.url}/api/v1`,
      POSTVIEWS_API_KEY: API_KEY,
      CACHE_STORE: 'file',
    },
  })
  return { url, app, ...counting }
}

test('finds a whole system well, with a view that is counted and is told from those of readers', async t => {
  const { app, service, database } = await startAll(t)
  for (const times of [1, 2]) {
    const { code, findings, of } = await examine(app)
    assert.deepEqual(
      findings.filter(({ status, name }) => status !== 'ok' && name !== 'trusted proxies'),
      [],
    )
    assert.equal(code, 0)
    assert.equal(of('trusted proxies').status, 'warning')
    assert.match(of('test view').detail, /^counted after \d+\.\d s: a view of the post postviews-doctor$/)
    assert.equal(of('clock').detail, 'this machine and the service agree')
    assert.match(of('queue').detail, /^postviews\.dead: 0 messages$/)
    const { views } = JSON.parse((await service.get('/api/v1/posts/postviews-doctor/views')).text)
    assert.equal(views, times)
  }
  assert.deepEqual(
    (await database.query('SELECT DISTINCT post_uuid, user_id, ip, user_agent FROM post_views')).map(row => ({
      ...row,
    })),
    [{ post_uuid: 'postviews-doctor', user_id: null, ip: null, user_agent: null }],
  )
  await examine(app, '--without-view')
  assert.equal((await database.query('SELECT id FROM post_views')).length, 2)

  const { code, stdout } = await app.artisan('postviews:doctor')
  assert.equal(code, 0)
  assert.match(stdout, /^ok +test view +counted after/m)
})

test('names a wrong key, a wrong password, a virtual host that is not there, an API that is none', async t => {
  const { url, app, service } = await startAll(t)
  const broken = async (name: string, value: string) => {
    const before = app.read('.env')
    await env(app, name, value)
    const diagnosis = await examine(app)
    await app.write('.env', before)
    assert.equal(diagnosis.code, 1, `${name}=${value}`)
    return diagnosis
  }
  const key = await broken('POSTVIEWS_API_KEY', 'hidden-and-wrong')
  assert.match(key.of('api').todo!, /POSTVIEWS_API_KEY/)
  assert.match(key.of('test view').detail, /is published; the API cannot say/)

  const withPassword = new URL(url)
  withPassword.password = 'hidden'
  const password = await broken('POSTVIEWS_AMQP_URL', withPassword.href)
  assert.equal(password.of('broker').status, 'failed')
  assert.match(password.of('broker').todo!, /Check user and password/)
  assert.equal(password.of('test view').status, 'skipped')

  const elsewhere = new URL(url)
  elsewhere.pathname = '/no-such-vhost'
  const vhost = await broken('POSTVIEWS_AMQP_URL', elsewhere.href)
  assert.match(vhost.of('broker').todo!, /virtual host/)

  const notTheApi = new URL(url)
  const none = await broken('POSTVIEWS_API_URL', `http://127.0.0.1:${notTheApi.port}`)
  assert.equal(none.of('api').status, 'failed')

  const elsewhereInTheApi = await broken('POSTVIEWS_API_URL', `${service.url}/blog`)
  assert.match(
    elsewhereInTheApi.of('api').detail,
    /^http:\/\/[^/]+\/blog\/api\/v1\/status answered 404: that is not the internal API/,
  )

  const tls = await broken('POSTVIEWS_API_URL', service.url.replace('http:', 'https:'))
  assert.match(tls.of('api').detail, /TLS/)

  const driver = await broken('POSTVIEWS_DRIVER', 'ampq')
  assert.match(driver.of('driver').todo!, /amqp, relay, log, null/)
  assert.equal(driver.of('test view').status, 'skipped')
})

test('warns of a node of a cluster that is down, and goes on by the other', async t => {
  const { url, app, rows } = await startAll(t)
  const down = new URL(url)
  down.port = '1'
  await env(app, 'POSTVIEWS_AMQP_URL', `${down.href},${url}`)
  const { code, findings, of } = await examine(app)
  assert.equal(code, 0)
  assert.deepEqual(
    findings.filter(({ name }) => name === 'broker').map(({ status }) => status),
    ['warning', 'ok'],
  )
  assert.equal(of('exchange').status, 'ok')
  assert.equal(of('test view').status, 'ok')
  assert.equal(await rows(), 1)

  const { stdout } = await app.artisan('postviews:doctor')
  t.diagnostic(`as people see it:\n${stdout}`)
})

test('names a queue that nobody reads, and a view that is not counted', async t => {
  const { app, service, url, database } = await startAll(t)
  await service.end('SIGTERM')
  const away = await examine(app, '--wait=1')
  assert.equal(away.code, 1)
  const queue = away.findings.find(({ detail }) => detail.startsWith('postviews.views'))!
  assert.equal(queue.status, 'failed')
  assert.match(queue.todo!, /Start the service/)
  assert.match(away.of('api').detail, /cannot be reached/)

  // The API alone runs, so nothing is counted.
  const api = await startService(t, { amqpUrl: url, databaseUrl: database.url, command: 'api' })
  await api.untilReady()
  await env(app, 'POSTVIEWS_API_URL', api.url)
  const uncounted = await examine(app, '--wait=1')
  assert.equal(uncounted.of('api').status, 'ok')
  assert.equal(uncounted.of('test view').detail, 'published, but not counted within 1 s')
  assert.match(uncounted.of('test view').todo!, /consume from this broker/)
})

test('finds that nothing of postviews is there yet, and that its own view made it', async t => {
  const { url } = await testRabbitmq()
  const app = await laravelApp(t, {
    env: { POSTVIEWS_AMQP_URL: url, POSTVIEWS_API_URL: '', POSTVIEWS_API_KEY: '' },
  })
  const first = await examine(app)
  assert.match(first.of('exchange').detail, /does not exist yet/)
  assert.equal(first.of('api').status, 'warning')
  assert.equal(first.of('test view').status, 'skipped')
  const second = await examine(app, '--without-view')
  assert.equal(second.of('exchange').status, 'ok')
  assert.match(
    second.findings.find(({ name }) => name === 'queue')!.detail,
    /^postviews\.views: 1 message, but no consumer$/,
  )
})
