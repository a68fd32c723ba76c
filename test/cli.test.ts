/** What the command line says, and what it ends with, before it touches anything. */

import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { SETTINGS } from '../packages/analytics/src/config.ts'
import { commandLine } from './support/command.ts'

const COMMANDS = ['serve', 'consume', 'api', 'migrate', 'verify', 'rebuild', 'dead', 'prune', 'forget']

test('explains every command, every setting and the exit codes', async t => {
  const { run } = await commandLine(t)
  const { code, stdout, stderr } = await run('--help')
  assert.equal(code, 0)
  assert.equal(stderr, '')
  for (const name of COMMANDS) assert.match(stdout, new RegExp(`^  ${name} `, 'm'))
  for (const { name } of SETTINGS) assert.match(stdout, new RegExp(`^  ${name} `, 'm'))
  assert.match(stdout, /^Exit codes: 0 success, 1 failure or differences, 2 wrong usage or settings\.$/m)
  assert.match(stdout, /^A command interrupted by SIGINT or SIGTERM ends by that signal \(130, 143\);$/m)
  for (const line of stdout.split('\n')) assert.ok(line.length <= 80, line)

  for (const name of COMMANDS) {
    const help = await run(`${name} --help`)
    assert.equal(help.code, 0)
    assert.match(help.stdout, new RegExp(`^Usage: postviews ${name} `))
  }
})

test('tells its version', async t => {
  const { version } = JSON.parse(
    await readFile(join(import.meta.dirname, '../packages/analytics/package.json'), 'utf8'),
  )
  const { run } = await commandLine(t)
  assert.deepEqual(await run('--version'), { code: 0, stdout: `${version}\n`, stderr: '' })
})

test('ends with 2 and says what is wrong when it is not used as it is meant', async t => {
  const { run } = await commandLine(t)
  for (const [args, said] of [
    ['count', /unknown command 'count'/],
    ['dead lst', /unknown command 'lst'/],
    ['verify --quick', /unknown option '--quick'/],
    ['migrate now', /too many arguments for 'migrate'/],
    ['rebuild --from 2026-02-30', /'2026-02-30' is invalid\. It is not a day such as/],
    ['dead list --limit few', /'few' is invalid\. It is not a whole number from 0 to 999999999/],
    ['dead list --limit -1', /'-1' is invalid\. It is not a whole number from 0 to 999999999/],
    ['dead purge --older-than-days -1', /'-1' is invalid\. It is not a whole number from 0 to/],
    ['rebuild --from 2026-03-02 --to 2026-03-01', /--from 2026-03-02 is after --to 2026-03-01/],
    ['rebuild --adopt-settings --to 2026-03-01', /applies to every day: leave out --from and --to/],
    ['rebuild --derive bot,hour', /"hour" is derived by no list\. These are: channel, source, .*; or all\./],
    ['dead replay --reason badip', /'badip' is invalid\. Allowed choices are .*\bbad_ip\b/],
    ['dead purge', /say what to purge: --reason, --older-than-days or --all/],
    ['forget', /say whom to forget: either --user or --ip/],
    ['forget --user 7 --ip 203.0.113.7', /say whom to forget: either --user or --ip/],
    ['forget --user me', /'me' is invalid\. It is not a positive integer below 2\^64/],
    ['forget --user 18446744073709551616', /is invalid\. It is not a positive integer below 2\^64/],
    ['forget --ip 203.0.113', /'203\.0\.113' is invalid\. It is not an IPv4 or IPv6 address/],
  ] as const) {
    const { code, stdout, stderr } = await run(args)
    assert.deepEqual([code, stdout], [2, ''], args)
    assert.match(stderr, said)
    assert.match(stderr, /\(run with --help for usage\)$/m)
  }
})

test('leaves nothing behind when it is not used as it is meant', async t => {
  const { run, folder } = await commandLine(t)
  await run('forget')
  await run('verify --quick')
  await run('migrate', { BOTS: 'maybe' })
  assert.deepEqual(await readdir(folder), [])
})

test('names every wrong setting in one message, and none of the secrets in them', async t => {
  const { run } = await commandLine(t)
  const { code, stdout, stderr } = await run('serve', {
    AMQP_URL: 'http://guest:geheim-1@127.0.0.1:5672',
    DATABASE_URL: 'mongodb://root:geheim-2@127.0.0.1/views',
    INTERNAL_API_KEY: 'geheim-3\u00e4',
    PORT: '70000',
    STATS_TIMEZONE: 'Mars/Olympus',
    UNIQUE_WINDOW: '5h',
    UNIQUE_BY: 'cookie',
    BOTS: 'maybe',
    SITE_HOSTS: 'https://root:geheim-4@blog.example/',
    IP_STORAGE: 'half',
    EXCLUDE_USERS: 'root',
    EXCLUDE_NETWORKS: 'office',
    EVENT_MAX_AGE: 'a month',
    RAW_RETENTION_DAYS: '-1',
    DEAD_RETENTION_DAYS: '0',
    DEAD_MAX_BYTES: '1 GB',
    BATCH_EVENTS: '0',
    BATCH_WAIT_MS: '1.5',
    LOG_LEVEL: 'loud',
  })
  assert.equal(code, 2)
  assert.equal(stdout, '')
  assert.doesNotMatch(stderr, /geheim/)
  assert.match(stderr, /^postviews: settings are wrong:\n/)
  assert.match(stderr, /^ {2}- PORT: "70000" is not a whole number from 0 to 65535$/m)
  assert.match(stderr, /^ {2}- AMQP_URL: "http:\/\/…@127\.0\.0\.1:5672" is not a URL of the form/m)
  const named = [...stderr.matchAll(/^ {2}- ([A-Z_]+): /gm)].map(([, name]) => name)
  assert.deepEqual(
    named,
    // Any text may be a host, or the path of a file, which is opened later.
    SETTINGS.map(({ name }) => name).filter(name => name !== 'HOST' && name !== 'GEOIP_DB'),
  )
})

test('names settings that contradict each other, and a key that is missing', async t => {
  const { run } = await commandLine(t)
  const { code, stderr } = await run('api', { RAW_RETENTION_DAYS: '5', EVENT_MAX_AGE: '6d' })
  assert.equal(code, 2)
  assert.match(stderr, /^ {2}- INTERNAL_API_KEY: is not set/m)
  assert.match(stderr, /^ {2}- RAW_RETENTION_DAYS: "5" is shorter than EVENT_MAX_AGE, "6d"/m)
})

test('takes a setting that is empty for one that is not set', async t => {
  const { run } = await commandLine(t)
  const { code, stderr } = await run('verify', { PORT: '', BOTS: ' ', DATABASE_URL: 'sqlite:views.db' })
  assert.equal(code, 1)
  assert.match(stderr, /run `postviews migrate`/)
})
