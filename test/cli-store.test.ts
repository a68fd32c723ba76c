/** The commands that work on the store, on a real one, as the person on call uses them. */

import assert from 'node:assert/strict'
import { access, chmod, mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { View } from '@postviews/client/src/index.ts'
import { openStore } from '../packages/analytics/src/store/open.ts'
import { commandLine } from './support/command.ts'
import { SQLITE } from './support/engines.ts'
import { GOOGLEBOT, POST, record, view } from './support/views.ts'

const DAY_MS = 86_400_000
const ESCAPE = '\u001b'
const COUNTING = { timeZone: 'UTC', windowHours: 24, uniqueBy: 'ip', bots: 'count' } as const

/** A database with the views in it, received when they happened, and the program on it. */
async function system(t: TestContext, views: readonly View[]) {
  const database = await SQLITE.create(t)
  const store = await openStore(database.url, COUNTING)
  await store.migrate()
  if (views.length > 0) await record(store, views)
  await store.close()
  // No broker: these commands need none.
  const line = await commandLine(t, { DATABASE_URL: database.url, AMQP_URL: 'amqp://127.0.0.1:1' })
  const total = async () =>
    (
      await database.query(`SELECT SUM(views) AS views, SUM(unique_views) AS uniques FROM post_view_totals`)
    )[0]
  return { ...line, database, total }
}

/** A time so many days ago, in the middle of its day. */
function noon(daysAgo: number): string {
  return `${new Date(Date.now() - daysAgo * DAY_MS).toISOString().slice(0, 10)}T12:00:00Z`
}

test('verify is silent but for one line, and ends with 0, when every number adds up', async t => {
  const { run } = await system(t, [view(noon(1)), view(noon(1), { userId: '7' })])
  assert.deepEqual(await run('verify'), { code: 0, stdout: 'every number adds up\n', stderr: '' })
  const { code, stdout } = await run('verify --json')
  assert.equal(code, 0)
  assert.deepEqual(JSON.parse(stdout), { differences: 0, by_hand: 0, days: 1, rows: 2 })
})

test('verify names what was tampered with and ends with 1; rebuild puts it right', async t => {
  const { run, database, total } = await system(t, [
    view(noon(1)),
    view(noon(1)),
    view(noon(1), { postUuid: 'another' }),
  ])
  const day = noon(1).slice(0, 10)
  await database.query('UPDATE post_view_aggregates SET view_count = 9')

  const verified = await run('verify')
  assert.equal(verified.code, 1)
  assert.equal(verified.stderr, '')
  const lines = verified.stdout.trimEnd().split('\n')
  assert.deepEqual(lines.slice(0, 2), [
    `aggregate: post ${POST} on ${day}: view_count is 9, must be 2`,
    `aggregate: post another on ${day}: view_count is 9, must be 1`,
  ])
  assert.equal(lines.at(-1), `${lines.length - 1} differences; \`postviews rebuild\` corrects them`)

  const asJson = await run('verify --json')
  assert.equal(asJson.code, 1)
  const differences = asJson.stdout.trimEnd().split('\n')
  const summary = { differences: lines.length - 1, by_hand: 0, days: 1, rows: 3 }
  assert.deepEqual(JSON.parse(differences.pop()!), summary)
  assert.equal(differences.length, lines.length - 1)
  assert.deepEqual(JSON.parse(differences[0]!), {
    kind: 'aggregate',
    name: `post ${POST} on ${day}`,
    field: 'view_count',
    expected: 2,
    found: 9,
  })

  assert.deepEqual(await run('rebuild'), {
    code: 0,
    stdout: 'recounted 1 day, corrected 2 records\n',
    stderr: '',
  })
  assert.equal((await run('verify')).code, 0)
  assert.deepEqual({ ...(await total()) }, { views: 3, uniques: 2 })
  assert.deepEqual(JSON.parse((await run('rebuild --json')).stdout), { fixed: 0, days: 1, first_day: null })
})

test('rebuild --derive applies the lists, and says what it has derived', async t => {
  const { run, database } = await system(t, [view(noon(2)), view(noon(1), { userAgent: GOOGLEBOT })])
  const bots = async () => Number((await database.query('SELECT bots FROM post_view_totals'))[0]?.['bots'])
  await database.query(`UPDATE post_views SET agent = '0\tdesktop\t\t\t\t', bot = 0`)
  await run('rebuild')
  assert.equal(await bots(), 0)

  const day = noon(2).slice(0, 10)
  const agent = 'derived device, browser, os, bot, purpose'
  const first = await run(`rebuild --derive browser --to ${day}`)
  assert.deepEqual(first, {
    code: 0,
    stdout: `${agent} of 1 raw row again, recounted 1 day, corrected 8 records\n`,
    stderr: '',
  })
  const all = JSON.parse((await run('rebuild --derive all --json')).stdout)
  assert.deepEqual([all.derived, all.days], [2, 2])
  assert.equal(await bots(), 1)
  assert.equal((await run('verify')).code, 0)
  assert.match(
    (await run('rebuild --derive bot')).stdout,
    /^derived .* of 0 raw rows again, recounted 2 days, /,
  )
})

test('rebuild --derive derives no country where there are none to derive', async t => {
  const { run } = await system(t, [view(noon(1), { ip: '8.8.8.8' })])
  const off = { GEOIP_DB: 'none' }
  const { code, stdout, stderr } = await run('rebuild --derive country', off)
  assert.deepEqual([code, stdout], [1, ''])
  assert.match(stderr, /^postviews: countries are switched off by GEOIP_DB=none: /)
  const all = await run('rebuild --derive all', off)
  assert.equal(all.code, 0)
  assert.match(
    all.stdout,
    /^derived channel, source, campaign, device, browser, os, bot, purpose of 0 raw rows/,
  )
  // Counted without a database, it gets its country by the one that comes with the service.
  assert.match((await run('rebuild --derive country')).stdout, /^derived country of 1 raw row again, /)
})

test('rebuild refuses days whose raw rows are gone, and says where to begin', async t => {
  const { run } = await system(t, [view(noon(100)), view(noon(1))])
  await run('prune')
  const { code, stdout, stderr } = await run(`rebuild --from ${noon(100).slice(0, 10)}`)
  assert.deepEqual([code, stdout], [1, ''])
  assert.match(stderr, /^postviews: raw rows before (\S+) are gone, .*: begin with --from \1\n$/)
  const [, first] = /--from (\S+)\n/.exec(stderr)!
  const rebuilt = await run(`rebuild --from ${first}`)
  assert.deepEqual([rebuilt.code, rebuilt.stderr], [0, ''])
  assert.equal(
    rebuilt.stdout,
    `recounted 1 day, corrected 0 records; days before ${first} cannot be recounted\n`,
  )
})

test('rebuild refuses days on which nothing is counted, and every command says that it found nothing', async t => {
  const { run } = await system(t, [view(noon(2)), view(noon(1))])
  const [first, last] = [noon(2).slice(0, 10), noon(1).slice(0, 10)]
  for (const asked of ['from 2099-01-01', 'to 2001-01-01', 'from 2001-01-01 to 2001-01-02']) {
    const options = asked.replaceAll(/(?=from|to)/g, '--')
    assert.deepEqual(await run(`rebuild ${options}`), {
      code: 1,
      stdout: '',
      stderr: `postviews: no views are counted on any day ${asked}: the counted days are ${first} to ${last}\n`,
    })
  }
  assert.equal((await run(`rebuild --from ${last}`)).stdout, 'recounted 1 day, corrected 0 records\n')
  assert.equal((await run('rebuild')).stdout, 'recounted 2 days, corrected 0 records\n')
  assert.match((await run('forget --ip 203.0.113.99')).stdout, /^no raw row has that address: /)

  const nothing = await system(t, [])
  assert.equal((await nothing.run('verify')).stdout, 'every number adds up: no view is counted yet\n')
  assert.equal((await nothing.run('rebuild')).stdout, 'there are no days to recount\n')
  assert.match((await nothing.run('rebuild --to 2026-01-01')).stderr, /: no views have been counted yet$/m)
  assert.match((await nothing.run('prune')).stdout, /^nothing is past its retention: /)
})

test('a process that would count otherwise does not start until rebuild --adopt-settings has run', async t => {
  const { run, database } = await system(t, [view(noon(1), { userAgent: 'Googlebot/2.1' }), view(noon(1))])
  const others = { BOTS: 'exclude', STATS_TIMEZONE: 'Asia/Tokyo' }
  const refusal =
    'STATS_TIMEZONE is Asia/Tokyo, but the database records UTC; BOTS is exclude, but the database records count: set the recorded values, or run `postviews rebuild --adopt-settings`'
  for (const args of ['verify', 'prune', 'forget --user 7', 'rebuild']) {
    assert.deepEqual(await run(args, others), { code: 1, stdout: '', stderr: `postviews: ${refusal}\n` })
  }
  const service = { ...others, INTERNAL_API_KEY: 'a-key-for-the-tests', PORT: '0' }
  for (const args of ['serve', 'consume', 'api']) {
    const { code, stdout } = await run(args, service)
    assert.equal(code, 1)
    assert.equal(failure(stdout), refusal)
  }

  const adopted = await run('rebuild --adopt-settings', others)
  assert.deepEqual([adopted.code, adopted.stderr], [0, ''])
  assert.match(adopted.stdout, /^recounted 1 day, corrected \d+ records\n$/)
  assert.equal((await run('verify', others)).code, 0)
  assert.equal((await run('verify')).code, 1)
  const [total] = await database.query('SELECT views, bots FROM post_view_totals')
  assert.deepEqual({ ...total }, { views: 1, bots: 1 })
})

test('prune removes raw rows past their retention, once, and no number with them', async t => {
  const { run, database, total } = await system(t, [view(noon(100)), view(noon(95)), view(noon(1))])
  const before = await total()
  assert.deepEqual(JSON.parse((await run('prune --json', { RAW_RETENTION_DAYS: '0' })).stdout), {
    ran: true,
    rows: 0,
    days: 2,
  })
  assert.deepEqual(await run('prune'), {
    code: 0,
    stdout: 'removed 2 raw rows, closed 0 days\n',
    stderr: '',
  })
  assert.equal(
    (await run('prune')).stdout,
    'nothing is past its retention: removed 0 raw rows, closed 0 days\n',
  )
  assert.deepEqual(await total(), before)
  assert.equal((await run('verify')).code, 0)

  const soon = Math.floor(Date.now() / 1_000) + 60
  await database.query(
    `INSERT INTO post_view_leases (name, holder, expires_at) VALUES ('prune', 'x', ${soon})`,
  )
  assert.equal((await run('prune')).stdout, 'another process is pruning: nothing was done here\n')
})

test('forget erases a user or an address, however it is spelled, and no number with them', async t => {
  const { run, database, total } = await system(t, [
    view(noon(1), { userId: '7', ip: '2001:db8::7', referer: 'https://example.org/' }),
    view(noon(1), { userId: '7', ip: '192.0.2.1' }),
    view(noon(1), { ip: '2001:db8::7' }),
    view(noon(1), { userId: '8', ip: '192.0.2.2' }),
  ])
  const before = await total()
  assert.match((await run('forget --user 7')).stdout, /^erased personal data from 2 raw rows\n/)
  assert.equal(JSON.parse((await run('forget --json --ip 2001:DB8:0::0:7')).stdout).rows, 1)
  assert.match(
    (await run('forget --user 7')).stdout,
    /^no raw row has that user: erased personal data from 0 raw rows\n/,
  )
  const rows = await database.query('SELECT user_id, ip, user_agent, referer FROM post_views ORDER BY id')
  const erased = { user_id: null, ip: null, user_agent: null, referer: null }
  assert.deepEqual(
    rows.slice(0, 3).map(row => ({ ...row })),
    [erased, erased, erased],
  )
  assert.equal(rows[3]!['user_id'], '8')
  assert.deepEqual(await total(), before)
  assert.equal((await run('verify')).code, 0)
})

test('forget says what it does not reach, before it is run, and whether it found anything or not', async t => {
  const { run } = await system(t, [view(noon(1), { userId: '7' })])
  const told =
    'not reached: dead letters, queues, relay spools, backups (docs/operations.md, "Retention and privacy")'
  for (const args of ['forget --user 7', 'forget --user 7', 'forget --ip 203.0.113.9', 'forget --help'])
    assert.equal((await run(args)).stdout.trimEnd().split('\n').at(-1), told, args)
  assert.deepEqual(JSON.parse((await run('forget --user 7 --json')).stdout), {
    rows: 0,
    not_reached: ['dead letters', 'queues', 'relay spools', 'backups'],
  })
})

test('migrate makes a database that is not there, and leaves one that is up to date alone', async t => {
  const { run, folder } = await commandLine(t, { DATABASE_URL: 'sqlite:new/folder/views.db' })
  for (const args of ['verify', 'rebuild', 'prune', 'forget --user 7']) {
    const { code, stderr } = await run(args)
    assert.equal(code, 1)
    assert.match(
      stderr,
      /^postviews: there is no database at \S*\/new\/folder\/views\.db: run `postviews migrate`\n$/,
    )
    await assert.rejects(access(join(folder, 'new')), { code: 'ENOENT' })
  }
  for (let time = 0; time < 2; time++) {
    assert.deepEqual(await run('migrate'), { code: 0, stdout: 'the database is up to date\n', stderr: '' })
  }
  assert.equal((await run('verify')).code, 0)
})

test('refuses a database that a newer program has migrated, and leaves it alone', async t => {
  const { run, database } = await system(t, [view(noon(1))])
  await database.query(
    `INSERT INTO post_view_migrations (version, name, md5, run_at) VALUES (999, 'from the future', '', '2099-01-01')`,
  )
  await database.query('UPDATE post_view_aggregates SET view_count = 9')
  const refusal =
    /^the database has version 999, newer than this program \(\d+\): use a newer version of postviews$/
  for (const args of [
    'migrate',
    'verify',
    'rebuild',
    'rebuild --adopt-settings',
    'prune',
    'forget --user 7',
  ]) {
    const { code, stdout, stderr } = await run(args)
    assert.deepEqual([code, stdout], [1, ''], args)
    assert.match(stderr.replace(/^postviews: |\n$/g, ''), refusal)
  }
  for (const args of ['serve', 'consume', 'api']) {
    const { code, stdout } = await run(args, { INTERNAL_API_KEY: 'a-key-for-the-tests', PORT: '0' })
    assert.equal(code, 1)
    assert.match(failure(stdout), refusal)
  }
  const [aggregate] = await database.query('SELECT view_count FROM post_view_aggregates')
  assert.equal(aggregate!['view_count'], 9)
})

test('says so when the database cannot be opened', async t => {
  const { run, folder } = await commandLine(t, { DATABASE_URL: 'sqlite:views.db' })
  await mkdir(join(folder, 'views.db'))
  const { code, stdout, stderr } = await run('verify')
  assert.deepEqual([code, stdout], [1, ''])
  assert.match(stderr, /^postviews: SQLite: \S*\/views\.db cannot be opened: it is not a file\n$/)
})

test('warns of a database that every user of the machine can read, and does its work', async t => {
  const { run, database } = await system(t, [view(noon(1))])
  const path = database.url.slice('sqlite:'.length)
  await chmod(dirname(path), 0o755)
  await chmod(path, 0o644)
  const { code, stdout, stderr } = await run('verify')
  assert.deepEqual([code, stdout], [0, 'every number adds up\n'])
  assert.match(
    stderr,
    /^postviews: warning: \S*views\.db holds personal data, and every user of this machine can read it: chmod 600$/m,
  )
})

test('shows a bar on a terminal, takes it away again, and leaves stdout to what was asked for', async t => {
  const { shell, terminal, database } = await system(t, [view(noon(1))])
  await database.query('UPDATE post_view_aggregates SET view_count = 9')
  const { stdout: screen } = await terminal('postviews verify --json > verified')
  for (const step of ['rows', 'days', 'posts']) {
    assert.match(screen, new RegExp(`${step} .*█.* 100% \\| \\d+/\\d+ \\| `))
  }
  const { stdout: kept } = await shell('cat verified')
  for (const line of kept.trimEnd().split('\n')) assert.equal(typeof JSON.parse(line), 'object')
  // The line is cleared in the end; its wrapping is left as it was.
  assert.ok(screen.endsWith(`${ESCAPE}[2K`))
  assert.ok(!screen.includes(`${ESCAPE}[?7l`))
  for (const shown of screen.split(ESCAPE)) assert.ok(shown.length <= 80)
})

test('ends quietly when whoever reads has seen enough', async t => {
  const views = Array.from({ length: 3_000 }, (_, index) => view(noon(1), { postUuid: `post-${index}` }))
  const { shell, database } = await system(t, views)
  await database.query('UPDATE post_view_aggregates SET view_count = 9')
  const { stdout, stderr } = await shell('postviews verify | head -n 1')
  assert.match(stdout, /^aggregate: post post-0 on /)
  assert.equal(stderr, '')
})

/** What `service.failed` said, in the last lines of a log. */
function failure(log: string): string {
  const line = log.split('\n').find(line => line.includes('"event":"service.failed"'))
  assert.ok(line !== undefined, log)
  return JSON.parse(line).error
}
