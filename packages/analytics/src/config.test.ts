import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Config, ConfigError, readConfig, SETTINGS, withoutSecrets } from './config.ts'

const CONSUMER = { apiKey: false }
const API = { apiKey: true }

function problemsOf(env: Record<string, string>, needs = CONSUMER): readonly string[] {
  try {
    readConfig(env, needs)
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    return error.problems
  }
  return []
}

test('every setting but the key has a default that works', () => {
  assert.deepEqual(readConfig({}, CONSUMER), {
    amqpUrl: 'amqp://guest:guest@127.0.0.1:5672',
    databaseUrl: 'sqlite:data/postviews.db',
    apiKeys: [],
    host: '127.0.0.1',
    port: 3100,
    counting: { timeZone: 'UTC', windowHours: 24, uniqueBy: null, bots: 'count' },
    siteHosts: null,
    ipStorage: 'full',
    maxAgeSeconds: 30 * 86_400,
    rawRetentionDays: 90,
    deadRetentionDays: 30,
    deadMaxBytes: 1_073_741_824,
    batchEvents: 5_000,
    batchWaitMs: 100,
    logLevel: 'info',
  } satisfies Config)
})

test('every setting is read from the variable of its name', () => {
  const env = {
    AMQP_URL: 'amqps://user:secret@broker.example/vhost',
    DATABASE_URL: 'mysql://user:secret@database.example:3307/views?ssl=true',
    INTERNAL_API_KEY: ' one-key , another-key,',
    HOST: '0.0.0.0',
    PORT: '0',
    STATS_TIMEZONE: 'Europe/Warsaw',
    UNIQUE_WINDOW: '6h',
    UNIQUE_BY: 'ip+user_agent',
    BOTS: 'exclude',
    SITE_HOSTS: '*.blog.example, www.Blog.example:8080',
    IP_STORAGE: 'none',
    EVENT_MAX_AGE: '36h',
    RAW_RETENTION_DAYS: '0',
    DEAD_RETENTION_DAYS: '7',
    DEAD_MAX_BYTES: '512MiB',
    BATCH_EVENTS: '500',
    BATCH_WAIT_MS: '0',
    LOG_LEVEL: 'debug',
  }
  assert.deepEqual(Object.keys(env).toSorted(), SETTINGS.map(({ name }) => name).toSorted())
  assert.deepEqual(readConfig(env, API), {
    amqpUrl: env.AMQP_URL,
    databaseUrl: env.DATABASE_URL,
    apiKeys: ['one-key', 'another-key'],
    host: '0.0.0.0',
    port: 0,
    counting: { timeZone: 'Europe/Warsaw', windowHours: 6, uniqueBy: 'ip+user_agent', bots: 'exclude' },
    siteHosts: ['*.blog.example', 'blog.example'],
    ipStorage: 'none',
    maxAgeSeconds: 129_600,
    rawRetentionDays: 0,
    deadRetentionDays: 7,
    deadMaxBytes: 536_870_912,
    batchEvents: 500,
    batchWaitMs: 0,
    logLevel: 'debug',
  } satisfies Config)
})

test('a time zone is read in any letter case, and spelt its own way', () => {
  for (const [text, timeZone] of [
    ['europe/warsaw', 'Europe/Warsaw'],
    ['Asia/Kolkata', 'Asia/Kolkata'],
    ['UTC', 'UTC'],
  ] as const)
    assert.equal(readConfig({ STATS_TIMEZONE: text }, CONSUMER).counting.timeZone, timeZone)
})

test('that no host is own is another matter than not to say which are', () => {
  assert.deepEqual(readConfig({ SITE_HOSTS: 'none' }, CONSUMER).siteHosts, [])
  assert.equal(readConfig({ SITE_HOSTS: ' ' }, CONSUMER).siteHosts, null)
})

test('an empty variable is one that is not set, and others are not ours', () => {
  const env = { PORT: '', STATS_TIMEZONE: '  ', UNIQUE_BY: undefined, PATH: '/bin' }
  assert.deepEqual(readConfig(env, CONSUMER), readConfig({}, CONSUMER))
})

const WRONG: Record<string, string[]> = {
  AMQP_URL: ['127.0.0.1:5672', 'http://broker.example', 'amqp://', 'amqp:broker'],
  DATABASE_URL: [
    'sqlite:',
    'data/views.db',
    'postgres://host/views',
    'mysql://host',
    'mysql:///views',
    'mysql://host/a/b',
    'clickhouse://host:8123',
    'clickhouse://one:8123,two:8123/views',
    'clickhouse://host/views?replica=1',
  ],
  INTERNAL_API_KEY: ['a key with spaces', 'clé', 'tab\tkey'],
  PORT: ['-1', '65536', '3100.5', '0x10', '1e3', 'http', '٣'],
  STATS_TIMEZONE: ['Warsaw', 'Europe/Nowhere', '+02:00'],
  UNIQUE_WINDOW: ['5h', '24', '1d', '0h', '6 h', '30m'],
  UNIQUE_BY: ['IP', 'user_agent', 'ip,user_agent'],
  BOTS: ['yes', 'Exclude'],
  SITE_HOSTS: ['https://blog.example', 'blog.example,none/', '*', ','],
  IP_STORAGE: ['hash', 'FULL'],
  EVENT_MAX_AGE: ['30', '0d', '-1d', '1.5h', '1w', 'd'],
  RAW_RETENTION_DAYS: ['-1', '90d', '1.5', '36501'],
  DEAD_RETENTION_DAYS: ['0', '-1', 'never'],
  DEAD_MAX_BYTES: ['0', '-1', '1.5GiB', '1GB', '1 GiB', '0MiB', 'NaN', '99999999999GiB', 'much'],
  BATCH_EVENTS: ['0', '20001', 'all'],
  BATCH_WAIT_MS: ['-1', '5001', '100ms'],
  LOG_LEVEL: ['INFO', 'verbose', '30'],
}

for (const [name, texts] of Object.entries(WRONG)) {
  test(`a wrong ${name} is refused by its name`, () => {
    for (const text of texts) {
      const problems = problemsOf({ [name]: text })
      assert.equal(problems.length, 1, text)
      assert.ok(problems[0]!.startsWith(`${name}: `), text)
    }
  })
}

test('every problem is named in one message', () => {
  const env = Object.fromEntries(Object.entries(WRONG).map(([name, texts]) => [name, texts[0]!]))
  const names = problemsOf(env, API).map(problem => problem.split(':')[0])
  assert.deepEqual(names.toSorted(), Object.keys(WRONG).toSorted())
  const { message } = new ConfigError(problemsOf(env, API))
  for (const name of Object.keys(WRONG)) assert.match(message, new RegExp(`^ {2}- ${name}: `, 'm'))
})

test('no message repeats what may be a secret', () => {
  const env = {
    AMQP_URL: 'http://user:hunter2@broker.example',
    DATABASE_URL: 'postgres://user:hunter2@database.example/views',
    INTERNAL_API_KEY: 'good-hunter2-key,bad hunter2 key',
  }
  const problems = problemsOf(env, API)
  assert.equal(problems.length, 3)
  assert.doesNotMatch(new ConfigError(problems).message, /hunter2/)
})

test('the internal API does not start without a key, a consumer does', () => {
  for (const INTERNAL_API_KEY of ['', ' , ', ',']) {
    assert.match(problemsOf({ INTERNAL_API_KEY }, API).join(), /^INTERNAL_API_KEY: is not set/)
    assert.deepEqual(problemsOf({ INTERNAL_API_KEY }, CONSUMER), [])
  }
})

test('raw rows are kept for as long as views are accepted', () => {
  assert.match(problemsOf({ RAW_RETENTION_DAYS: '29' }).join(), /^RAW_RETENTION_DAYS: .*EVENT_MAX_AGE/)
  assert.match(problemsOf({ EVENT_MAX_AGE: '91d' }).join(), /^RAW_RETENTION_DAYS: .*EVENT_MAX_AGE/)
  assert.deepEqual(problemsOf({ RAW_RETENTION_DAYS: '30' }), [])
  assert.deepEqual(problemsOf({ RAW_RETENTION_DAYS: '0', EVENT_MAX_AGE: '999d' }), [])
})

test('every setting is documented, and its default is one it takes', () => {
  for (const { name, fallback, help, parse } of SETTINGS) {
    assert.match(name, /^[A-Z_]+$/)
    assert.ok(help.length > 10, name)
    assert.doesNotThrow(() => parse(fallback), name)
  }
})

test('how big a batch is, and how long it waits, the engine says, unless somebody does', () => {
  const batch = (env: Record<string, string>) => {
    const { batchEvents, batchWaitMs } = readConfig(env, CONSUMER)
    return [batchEvents, batchWaitMs]
  }
  const DATABASE_URL = 'clickhouse://one:8123/views'
  assert.deepEqual(batch({ DATABASE_URL: 'mysql://user@one/views' }), [5_000, 100])
  assert.deepEqual(batch({ DATABASE_URL }), [10_000, 1_000])
  assert.deepEqual(batch({ DATABASE_URL, BATCH_EVENTS: '500', BATCH_WAIT_MS: '0' }), [500, 0])
})

test('a URL is shown without its user, its password and its query', () => {
  const shown: [url: string, shown: string][] = [
    ['amqp://user:hunter2@broker.example:5672/vhost', 'amqp://broker.example:5672/vhost'],
    ['mysql://user:hunter2@database.example/views?ssl-ca=hunter2', 'mysql://database.example/views'],
    ['clickhouse://user:hunter2@one:8123/views?cluster=c', 'clickhouse://one:8123/views'],
    ['clickhouse://user:hunter2@one:8123,two:8123/views?cluster=c', 'clickhouse://one:8123,two:8123/views'],
    ['sqlite:data/postviews.db', 'sqlite:data/postviews.db'],
    ['sqlite:/var/lib/views.db', 'sqlite:/var/lib/views.db'],
    // Passwords that should have been percent-encoded.
    ['amqp://user:hunter2/x@broker.example', 'amqp://broker.example'],
    ['amqp://user:1/hunter2@broker.example/vhost', 'amqp://broker.example/vhost'],
    ['mysql://user:a@hunter2/b@database.example/views?password=hunter2', 'mysql://database.example/views'],
  ]
  for (const [url, safe] of shown) assert.equal(withoutSecrets(url), safe)
})
