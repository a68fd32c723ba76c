import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Config, ConfigError, readConfig, SETTINGS, withoutSecrets } from './config.ts'
import { OwnViews } from './ingest/own-views.ts'

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
    amqpUrls: ['amqp://guest:guest@127.0.0.1:5672'],
    databaseUrl: 'sqlite:data/postviews.db',
    apiKeys: [],
    host: '127.0.0.1',
    port: 3100,
    counting: { timeZone: 'UTC', windowHours: 24, uniqueBy: null, bots: 'count' },
    siteHosts: null,
    ipStorage: 'full',
    geoipDb: null,
    ownViews: new OwnViews(new Set(), []),
    maxAgeSeconds: 30 * 86_400,
    rawRetentionDays: 90,
    deadRetentionDays: 30,
    deadMaxBytes: 1_073_741_824,
    batchEvents: 10_000,
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
    GEOIP_DB: '/data/cities.mmdb',
    PORT: '0',
    STATS_TIMEZONE: 'Europe/Warsaw',
    UNIQUE_WINDOW: '6h',
    UNIQUE_BY: 'ip+user_agent',
    BOTS: 'exclude',
    SITE_HOSTS: '*.blog.example, www.Blog.example:8080',
    IP_STORAGE: 'none',
    EXCLUDE_USERS: '7, 18446744073709551615,',
    EXCLUDE_NETWORKS: '203.0.113.0/24, 2001:DB8::/48,192.0.2.7',
    EVENT_MAX_AGE: '36h',
    RAW_RETENTION_DAYS: '0',
    DEAD_RETENTION_DAYS: '7',
    DEAD_MAX_BYTES: '512MiB',
    BATCH_EVENTS: '500',
    BATCH_WAIT_MS: '0',
    LOG_LEVEL: 'debug',
  }
  assert.deepEqual(Object.keys(env).toSorted(), SETTINGS.map(({ name }) => name).toSorted())
  const { ownViews, ...config } = readConfig(env, API)
  assert.deepEqual([...ownViews.users], ['7', '18446744073709551615'])
  assert.deepEqual(ownViews.networks, [
    { address: '203.0.113.0', length: 24 },
    { address: '2001:db8::', length: 48 },
    { address: '192.0.2.7', length: 32 },
  ])
  assert.deepEqual(config, {
    amqpUrls: [env.AMQP_URL],
    databaseUrl: env.DATABASE_URL,
    apiKeys: ['one-key', 'another-key'],
    host: '0.0.0.0',
    port: 0,
    counting: { timeZone: 'Europe/Warsaw', windowHours: 6, uniqueBy: 'ip+user_agent', bots: 'exclude' },
    siteHosts: ['*.blog.example', 'blog.example'],
    ipStorage: 'none',
    geoipDb: '/data/cities.mmdb',
    maxAgeSeconds: 129_600,
    rawRetentionDays: 0,
    deadRetentionDays: 7,
    deadMaxBytes: 536_870_912,
    batchEvents: 500,
    batchWaitMs: 0,
    logLevel: 'debug',
  } satisfies Omit<Config, 'ownViews'>)
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

test('a broker of several nodes is their URLs, separated by commas', () => {
  const nodes = ['amqp://u:p%2Cq@one/blog', 'amqps://v:r@two:5671/blog']
  assert.deepEqual(readConfig({ AMQP_URL: nodes.join(', ') }, CONSUMER).amqpUrls, nodes)
})

test('an empty variable is one that is not set, and others are not ours', () => {
  const env = { PORT: '', STATS_TIMEZONE: '  ', UNIQUE_BY: undefined, PATH: '/bin' }
  assert.deepEqual(readConfig(env, CONSUMER), readConfig({}, CONSUMER))
})

const WRONG: Record<string, string[]> = {
  AMQP_URL: [
    '127.0.0.1:5672',
    'http://broker.example',
    'amqp://',
    'amqp:broker',
    'amqp://one,two',
    'amqp://one/blog,amqp://two/shop',
  ],
  DATABASE_URL: [
    'sqlite:',
    'data/views.db',
    'mongodb://host/views',
    'pgsql://host/views',
    'postgres://host',
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
  EXCLUDE_USERS: ['0', '-7', 'alice', '7 8', '1e3', '18446744073709551616'],
  EXCLUDE_NETWORKS: [
    '203.0.113',
    '203.0.113.0/33',
    '0.0.0.0/0',
    '2001:db8::/129',
    '::/0',
    '::ffff:203.0.113.0/96',
    'office.example',
    '192.0.2.0-192.0.2.9',
    '192.0.2.7/',
  ],
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

/** What is refused, and what its message says to write instead. */
const ADDRESSES: Record<string, [text: string, said: RegExp][]> = {
  AMQP_URL: [
    ['amqp://broker.example:99999', /a port is a number up to 65535/],
    ['amqp://broker.example:0', /port 0/],
    ['amqp://guest:a#b@broker.example', /# as %23/],
    ['amqp://broker.example/vhost#1', /bare #: write it as %23/],
    ['amqp://guest:100%@broker.example', /bare %: write it as %25/],
    ['amqp://broker.example/50%', /bare %: write it as %25/],
    ['amqp://one:5672,two:5672', /number 2 is not a URL of the form amqp:/],
    ['amqp://guest:a,b@one', /a comma as %2C/],
    ['amqp://one/blog,amqp://two', /number 2 has another virtual host than the first/],
  ],
  DATABASE_URL: [
    ['sqlite:', /names no file: write `sqlite:data\/views\.db`/],
    ['sqlite://data/x.db', /write `sqlite:data\/views\.db`, or `sqlite:\/var\/lib\/views\.db`/],
    ['sqlite:///data/x.db', /slashes before the path.*: write/],
    ['sqlite::memory:', /lost when the process ends.*write the path of a file/],
    ['sqlite:file::memory:?cache=shared', /write `sqlite:/],
    ['sqlite:data/x.db?mode=ro', /takes no options/],
    ['sqlite:file:data/x.db', /is not a path: write/],
    ['sqlite:my%20views.db', /not decoded/],
    ['sqlite:~/x.db', /not expanded.*write the whole path/],
    ['sqlite:$HOME/x.db', /not expanded/],
    [`sqlite:\${HOME}/x.db`, /not expanded/],
    ['sqlite: data/x.db', /begins with a space/],
    ['sqlite:data/', /is a folder/],
    ['sqlite:.', /is a folder/],
    ['sqlite:data/..', /is a folder/],
    [':memory:', /write sqlite: and its path/],
    ['data/x.db', /write sqlite: and its path/],
    ['file:data/x.db', /write sqlite: and its path/],
    ['sqlite3:data/x.db', /write sqlite: and its path/],
    ['mysql://db.example', /names no database/],
    ['mysql://db.example/', /names no database/],
    ['mysql://db.example/views/', /more than one \/ after the server/],
    ['mysql://db.example/a/b', /more than one \/ after the server/],
    [
      'mysql://db.example/views?tls=true',
      /has tls in a form that is not supported: use ssl=true, ssl=false or ssl-ca=FILE/,
    ],
    ['mysql://db.example/views?ssl=yes', /has ssl in a form that is not supported/],
    ['mysql://db.example/views?ssl-ca=', /has ssl-ca in a form that is not supported/],
    ['mysql://db.example/views#1', /bare #/],
    ['mysql://db.example:99999/views', /a port is a number up to 65535/],
    ['mysql://db.example:0/views', /port 0/],
    ['mysql://root:100%@db.example/views', /bare %: write it as %25/],
    ['mysqls://db.example/views', /write mysql: and \?ssl=true at the end/],
    ['mariadb://db.example/views', /: write mysql:/],
    ['mysql2://db.example/views', /: write mysql:/],
    ['clickhouse://db.example:99999/views', /has an invalid host or port/],
    ['clickhouse://root:100%@db.example/views', /bare %: write it as %25/],
    ['clickhouse://db.example/views/', /is not of the form/],
    ['clickhouse://db.example/views?ssl=true', /has the unknown option ssl: the only option is cluster=NAME/],
  ],
}

for (const [name, texts] of Object.entries(ADDRESSES)) {
  test(`an ${name} that would mean something else is refused, with what to write instead`, () => {
    for (const [text, said] of texts) {
      const problems = problemsOf({ [name]: text })
      assert.equal(problems.length, 1, text)
      assert.match(problems[0]!, said)
    }
  })
}

test('paths and URLs are taken as they are written', () => {
  for (const url of [
    'sqlite:data/views.db',
    'sqlite:/var/lib/my views/views.db',
    'sqlite:./views.db',
    'sqlite:../views.2026.db',
    'sqlite:views-100%.db',
    'sqlite:/home/me/c#/views.db',
    'mysql://root:hun%2Fter%232@[::1]:3307/my%20views?ssl-ca=/ca.pem',
    'clickhouse://root:hun%2Fter2@[::1]:8123/views',
  ]) {
    assert.equal(readConfig({ DATABASE_URL: url }, CONSUMER).databaseUrl, url)
  }
})

test('a wrong value is shown, on one line', () => {
  assert.deepEqual(problemsOf({ PORT: '70000', BOTS: 'may\nbe', BATCH_EVENTS: '-1' }), [
    'PORT: "70000" is not a whole number from 0 to 65535',
    String.raw`BOTS: "may\nbe" is not one of count, exclude`,
    'BATCH_EVENTS: "-1" is not a whole number from 1 to 20000',
  ])
  assert.match(
    problemsOf({ AMQP_URL: 'http://guest:hunter2@broker.example' })[0]!,
    /^AMQP_URL: "http:\/\/…@broker\.example" is not a URL/,
  )
})

test('every problem is named in one message', () => {
  const env = Object.fromEntries(Object.entries(WRONG).map(([name, texts]) => [name, texts[0]!]))
  const names = problemsOf(env, API).map(problem => problem.split(':')[0])
  assert.deepEqual(names.toSorted(), Object.keys(WRONG).toSorted())
  const { message } = new ConfigError(problemsOf(env, API))
  for (const name of Object.keys(WRONG)) assert.match(message, new RegExp(`^ {2}- ${name}: `, 'm'))
})

test('no message repeats what may be a secret', () => {
  const env = {
    AMQP_URL: 'amqp://user:hunter2@one,amqp://root:hunter2/blog',
    DATABASE_URL: 'mongodb://user:hunter2@database.example/views',
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
  assert.deepEqual(batch({}), [10_000, 100])
  assert.deepEqual(batch({ DATABASE_URL: 'mysql://user@one/views' }), [5_000, 100])
  assert.deepEqual(batch({ DATABASE_URL: 'postgres://user@one/views' }), [5_000, 100])
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
