/** Texts that rows share are kept once on SQLite: who sees them, when they go, and what other processes remember of them. */

import assert from 'node:assert/strict'
import { backup, DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { StoreRefused, StoreUnavailable } from '../packages/analytics/src/store/failures.ts'
import { openStore } from '../packages/analytics/src/store/open.ts'
import type { Exclusive } from '../packages/analytics/src/store/sql/sql.ts'
import { SqliteFile } from '../packages/analytics/src/store/sqlite/file.ts'
import { removeUnusedTexts } from '../packages/analytics/src/store/sqlite/unused-texts.ts'
import { assertVerified, differencesIn } from './store-contract-database.ts'
import { atEnd } from './support/at-end.ts'
import { SQLITE } from './support/engines.ts'
import { undoNumbers } from './support/undo-numbers.ts'
import { FIREFOX, POST, record, unix, view } from './support/views.ts'

const COUNTING = { timeZone: 'UTC', windowHours: 24, uniqueBy: 'ip', bots: 'count' } as const
const LONG_AGO = '2026-03-10T12:00:00Z'
const LATELY = '2026-06-29T12:00:00Z'
const PRUNING = { now: unix('2026-06-30T12:00:00Z'), rawRetentionDays: 90, maxAgeSeconds: 30 * 86_400 }

/** The fields of derived texts are separated by tabs. */
const isSent = (text: string) => !text.includes('\t')

/** `open` opens a store on the same file, as another process does. */
async function emptyFile(t: TestContext) {
  const database = await SQLITE.create(t)
  const open = async () => {
    const store = await openStore(database.url, COUNTING)
    atEnd(t, () => store.close())
    await store.migrate()
    return store
  }
  const texts = async () => {
    const rows = await database.query('SELECT text FROM post_view_texts ORDER BY number')
    return rows.map(({ text }) => String(text))
  }
  const numberOf = async (text: string) => {
    const [row] = await database.query(`SELECT number FROM post_view_texts WHERE text = '${text}'`)
    return row === undefined ? null : Number(row['number'])
  }
  return { database, open, texts, numberOf }
}

test('each text is kept once, and people read it in every row', async t => {
  const { database, open, texts } = await emptyFile(t)
  const store = await open()
  const readers = ['', 'a browser', 'a browser', null]
  await record(
    store,
    readers.map(userAgent =>
      view(LATELY, { userAgent, userId: '18446744073709551615', referer: 'https://host.example/a' }),
    ),
  )
  await record(store, [view(LATELY, { userAgent: 'a browser', postUuid: 'host.example' })])
  const kept = await texts()
  assert.deepEqual(kept.filter(isSent).toSorted(), ['', POST, 'a browser', 'host.example'])
  assert.equal(new Set(kept).size, kept.length)
  const rows = await database.query(
    'SELECT post_uuid, user_id, user_agent, referer_host FROM post_views ORDER BY id',
  )
  assert.deepEqual(
    rows.map(row => row['user_agent']),
    [...readers, 'a browser'],
  )
  assert.deepEqual(
    { ...rows[0] },
    {
      post_uuid: POST,
      user_id: '18446744073709551615',
      user_agent: '',
      referer_host: 'host.example',
    },
  )
  assert.equal(rows[4]!['post_uuid'], 'host.example')
  await assertVerified(store)
})

test('what only removed rows used goes with them, and what another row uses stays', async t => {
  const { open, texts } = await emptyFile(t)
  const store = await open()
  await record(store, [
    view(LONG_AGO, { userAgent: 'of old', referer: 'https://old.example/', postUuid: 'old-post' }),
    view(LONG_AGO, { userAgent: 'of both' }),
    view(LATELY, { userAgent: 'of both', referer: 'https://new.example/' }),
  ])
  assert.equal((await store.prune(PRUNING)).rows, 2)
  const left = await texts()
  assert.deepEqual(left.filter(isSent).toSorted(), [POST, 'new.example', 'of both'])
  // Nor does a text that was derived of it.
  assert.ok(left.some(text => text.includes('\tnew.example')))
  assert.ok(!left.some(text => text.includes('old.example')))
  assert.deepEqual((await store.postTotals(['old-post']))[0]?.views, 1)
  await assertVerified(store)
})

test('forgetting a reader removes a user agent that nobody else has', async t => {
  const { open, texts } = await emptyFile(t)
  const store = await open()
  await record(store, [
    view(LATELY, { userId: '7', userAgent: 'of seven' }),
    view(LATELY, { userId: '7', userAgent: FIREFOX }),
    view(LATELY, { userId: '8', userAgent: FIREFOX }),
  ])
  assert.equal(await store.forget({ userId: '7' }), 2)
  const left = await texts()
  assert.ok(!left.includes('of seven'))
  assert.ok(left.includes(FIREFOX))
  await assertVerified(store)
})

test('forget says so when it had to leave user agents, and the next call removes them', async t => {
  const { database, open, texts } = await emptyFile(t)
  const store = await open()
  await record(store, [view(LATELY, { userId: '7', userAgent: 'of seven' }), view(LATELY)])
  using other = new DatabaseSync(database.url.slice('sqlite:'.length), { timeout: 5_000 })
  let changes = 0
  const beingChanged = (what: string) => {
    if (what === 'texts') other.exec(`UPDATE post_views SET referer_host = 'host ${++changes}' WHERE id = 2`)
  }
  await assert.rejects(store.forget({ userId: '7' }, beingChanged), {
    constructor: StoreUnavailable,
    message: /user agents may still be in the file.*run `postviews forget` again/,
  })
  assert.ok((await texts()).includes('of seven'))
  await store.forget({ userId: '7' })
  assert.ok(!(await texts()).includes('of seven'))
})

test('a view that comes again after its reader was forgotten leaves its user agent only until the next time', async t => {
  const { open, texts } = await emptyFile(t)
  const store = await open()
  const views = [view(LATELY, { userId: '7', userAgent: 'of seven' })]
  await record(store, [...views, view(LATELY)])
  await store.forget({ userId: '7' })
  await record(store, views)
  assert.equal((await store.siteTotals()).views, 2)
  await store.forget({ userId: '7' })
  assert.ok(!(await texts()).includes('of seven'))
})

test('a row whose number somebody chose below zero keeps its texts', async t => {
  const { database, open } = await emptyFile(t)
  const store = await open()
  await record(store, [view(LATELY, { userId: '7', userAgent: 'of seven' })])
  await database.query(
    `INSERT INTO post_views (id, post_uuid, user_agent, viewed_at) VALUES (-5, 'by hand', 'of nobody else', ${unix(LATELY)})`,
  )
  await store.forget({ userId: '7' })
  const [row] = await database.query('SELECT post_uuid, user_agent FROM post_views WHERE id = -5')
  assert.deepEqual([row!['post_uuid'], row!['user_agent']], ['by hand', 'of nobody else'])
})

test('a process that remembers the number of a removed text gives the text a new one', async t => {
  const { database, open, numberOf } = await emptyFile(t)
  const [one, other] = [await open(), await open()]
  await record(one, [view(LONG_AGO, { userAgent: 'comes again' }), view(LATELY)])
  const before = await numberOf('comes again')
  await other.prune(PRUNING)
  assert.equal(await numberOf('comes again'), null)
  await record(other, [view(LATELY, { userAgent: 'another' })])
  await record(one, [view(LATELY, { userAgent: 'comes again' })])
  const after = await numberOf('comes again')
  assert.ok(after! > before!)
  assert.ok((await numberOf('another'))! > before!)
  const rows = await database.query(`SELECT user_agent FROM post_views WHERE user_agent = 'comes again'`)
  assert.equal(rows.length, 1)
  await assertVerified(one)
})

test('two processes that meet the same text at once give it one number', async t => {
  const { open, texts } = await emptyFile(t)
  const stores = [await open(), await open()]
  for (let batch = 0; batch < 20; batch++) {
    const views = () => [view(LATELY, { userAgent: `agent ${batch}`, postUuid: `post-${batch}` })]
    await Promise.all(stores.map(store => record(store, views())))
  }
  const found = await texts()
  assert.equal(new Set(found).size, found.length)
  assert.equal((await stores[0]!.siteTotals()).views, 40)
  await assertVerified(stores[0]!)
})

test('the numbers that a process remembers are dropped when an older state of the file is put back under it', async t => {
  const { database, open } = await emptyFile(t)
  const store = await open()
  await record(store, [view(LATELY)])
  const path = database.url.slice('sqlite:'.length)
  using earlier = new DatabaseSync(path)
  const kept = `${path}.kept`
  await backup(earlier, kept)
  await record(store, [view(LATELY, { postUuid: 'lost', userAgent: 'of the lost post' })])
  using source = new DatabaseSync(kept)
  await backup(source, path)
  await record(store, [view(LATELY, { postUuid: 'lost', userAgent: 'of the lost post' })])
  await record(store, [view(LATELY, { postUuid: 'another', userAgent: 'of another post' })])
  const rows = await database.query('SELECT post_uuid, user_agent FROM post_views ORDER BY id')
  assert.deepEqual(
    rows.map(row => [row['post_uuid'], row['user_agent']]),
    [
      [POST, FIREFOX],
      ['lost', 'of the lost post'],
      ['another', 'of another post'],
    ],
  )
  await assertVerified(store)
})

test('whatever statement people write, no row loses a text', async t => {
  const { database, open } = await emptyFile(t)
  const store = await open()
  const views = () =>
    ['a', 'b'].map(userAgent => view(LATELY, { userAgent, referer: 'https://host.example/' }))
  await record(store, [...views(), view(LATELY, { userAgent: null, ip: null, referer: null })])
  const columns = `post_uuid, user_id, ip, user_agent, referer, viewed_at, event_id, received_at, day, slice, logged_in, bot,
                   visitor, referer_host, hour_of_day, utm, origin, agent, country`
  const all = () => database.query(`SELECT id, ${columns} FROM post_views ORDER BY id`)
  const before = await all()
  for (const statement of [
    `REPLACE INTO post_views (id, ${columns}) SELECT id, ${columns} FROM post_views`,
    `INSERT OR REPLACE INTO post_views (id, ${columns}) SELECT id, ${columns} FROM post_views WHERE id = 1`,
    'UPDATE OR REPLACE post_views SET slice = slice, post_uuid = post_uuid WHERE id = 2',
    'UPDATE OR REPLACE post_views SET user_agent = user_agent, referer_host = referer_host',
  ]) {
    await database.query(statement)
    assert.deepEqual(await all(), before, statement)
  }
  await database.query(
    `INSERT OR ABORT INTO post_views (post_uuid, viewed_at) VALUES ('by hand', ${unix(LATELY)})`,
  )
  await database.query("DELETE FROM post_views WHERE post_uuid = 'by hand'")
  await record(store, views())
  const found = await database.query('SELECT post_uuid, user_agent FROM post_views WHERE id > 4 ORDER BY id')
  assert.deepEqual(
    found.map(row => [row['post_uuid'], row['user_agent']]),
    [
      [POST, 'a'],
      [POST, 'b'],
    ],
  )
  await assertVerified(store)
})

test('a change of rows uses up no numbers', async t => {
  const { database, open, numberOf } = await emptyFile(t)
  const store = await open()
  await record(store, [view(LATELY, { userAgent: 'the first' })])
  const last = async () =>
    Number(
      (await database.query("SELECT seq FROM sqlite_sequence WHERE name = 'post_view_texts'"))[0]!['seq'],
    )
  const before = await last()
  await database.query('UPDATE post_views SET post_uuid = post_uuid, user_agent = user_agent, slice = slice')
  assert.equal(await last(), before)
  await record(store, [view(LATELY, { userAgent: 'the second' })])
  assert.equal(await numberOf('the second'), before + 1)
})

test('the number of a row cannot be changed', async t => {
  const { database, open } = await emptyFile(t)
  const store = await open()
  await record(store, [view(LATELY)])
  await assert.rejects(database.query('UPDATE post_views SET id = 900'), /id of post_views cannot be changed/)
  await assert.rejects(
    database.query('UPDATE post_views SET post_uuid_number = 900'),
    /post_uuid_number of post_views cannot be changed/,
  )
  await database.query('UPDATE post_views SET id = id, slice = slice')
})

test('a text that somebody changes is not remembered, and verify names rows whose text is gone', async t => {
  const { database, open } = await emptyFile(t)
  const store = await open()
  const ofMallory = () => [view(LATELY, { userAgent: 'Mallory 1' })]
  await record(store, ofMallory())
  await database.query("UPDATE post_view_texts SET text = 'erased' WHERE text = 'Mallory 1'")
  await record(store, ofMallory())
  const agents = await database.query('SELECT user_agent FROM post_views ORDER BY id')
  assert.deepEqual(
    agents.map(row => row['user_agent']),
    ['erased', 'Mallory 1'],
  )
  await database.query(
    "REPLACE INTO post_view_texts (number, text) SELECT number, 'erased too' FROM post_view_texts WHERE text = 'Mallory 1'",
  )
  await record(store, ofMallory())
  const [last] = await database.query('SELECT user_agent FROM post_views ORDER BY id DESC LIMIT 1')
  assert.equal(last!['user_agent'], 'Mallory 1')
  await assertVerified(store)

  const [gone] = await database.query("SELECT number FROM post_view_texts WHERE text = 'erased'")
  await database.query("DELETE FROM post_view_texts WHERE text = 'erased'")
  await record(store, ofMallory())
  assert.deepEqual(await differencesIn(store), [
    {
      kind: 'schema',
      name: `post_view_texts ${gone!['number']}, user_agent_number`,
      field: 'rows without their text',
      expected: 0,
      found: 1,
    },
  ])
})

test('texts that an interrupted removal has left are removed by the next one', async t => {
  const { database, open, texts } = await emptyFile(t)
  const store = await open()
  await record(store, [
    view(LONG_AGO, { userAgent: 'of old' }),
    view(LATELY, { userId: '7', userAgent: 'of seven' }),
    view(LATELY),
  ])
  const afterRows = (what: string, done: number) => {
    if (what === 'rows' && done > 0) throw new Error('interrupted')
  }
  await assert.rejects(store.prune(PRUNING, afterRows), /interrupted/)
  assert.ok((await texts()).includes('of old'))
  assert.equal((await store.prune({ ...PRUNING, now: PRUNING.now + 300 })).rows, 0)
  assert.ok(!(await texts()).includes('of old'))

  await assert.rejects(store.forget({ userId: '7' }, afterRows), /interrupted/)
  assert.ok((await texts()).includes('of seven'))
  assert.equal(await store.forget({ userId: '7' }), 0)
  assert.ok(!(await texts()).includes('of seven'))

  await database.query(`UPDATE post_views SET user_agent = 'of nobody'`)
  await database.query(`UPDATE post_views SET user_agent = '${FIREFOX}'`)
  let steps = 0
  const afterTheFirst = async () => {
    if (++steps > 1) throw new Error('interrupted')
  }
  await assert.rejects(removeUnused(t, database.url, afterTheFirst), /interrupted/)
  await removeUnused(t, database.url, async () => {})
  assert.ok(!(await texts()).includes('of nobody'))
})

test('what people have added to the tables of rows stops the migration, and is kept', async t => {
  const { database, open } = await emptyFile(t)
  const store = await open()
  await record(store, [view(LATELY)])
  await store.close()
  await undoNumbers(database)
  const additions: [named: string, add: string, remove: string][] = [
    [
      'the column post_views.note',
      'ALTER TABLE post_views ADD COLUMN note TEXT',
      'ALTER TABLE post_views DROP COLUMN note',
    ],
    [
      'the column post_view_visitors.hour',
      'ALTER TABLE post_view_visitors ADD COLUMN hour INTEGER AS (slice + 1) VIRTUAL',
      'ALTER TABLE post_view_visitors DROP COLUMN hour',
    ],
    ['the index mine', 'CREATE INDEX mine ON post_views (ip)', 'DROP INDEX mine'],
    [
      'the trigger mine',
      'CREATE TRIGGER mine AFTER DELETE ON post_views BEGIN SELECT 1; END',
      'DROP TRIGGER mine',
    ],
    [
      'the foreign key of notes',
      'CREATE TABLE notes (view_id INTEGER REFERENCES post_views (id) ON DELETE CASCADE)',
      'DROP TABLE notes',
    ],
  ]
  for (const [, add] of additions) await database.query(add)
  await database.query('INSERT INTO notes SELECT id FROM post_views')
  const refused = await open().then(
    () => assert.fail('it migrated'),
    (error: Error) => error,
  )
  assert.ok(refused instanceof StoreRefused)
  for (const [named] of additions) assert.ok(refused.message.includes(named), named)
  assert.equal((await database.query('SELECT * FROM notes')).length, 1)
  for (const [, , remove] of additions) await database.query(remove)
  assert.equal((await (await open()).siteTotals()).views, 1)
})

test('a batch that fails leaves no number that is not there', async t => {
  const { database, open } = await emptyFile(t)
  const [store, other] = [await open(), await open()]
  await record(store, [view(LATELY)])
  await database.query(
    `CREATE TRIGGER full BEFORE UPDATE ON post_view_totals BEGIN SELECT RAISE(ABORT, 'full'); END`,
  )
  const ofAgents = (...agents: string[]) => agents.map(userAgent => view(LATELY, { userAgent }))
  await assert.rejects(record(store, ofAgents('of a failed batch', 'of both')))
  await database.query('DROP TRIGGER full')
  // The second number is given to the same text.
  await record(other, ofAgents('of another', 'of both'))
  await record(store, ofAgents('of a failed batch'))
  const rows = await database.query('SELECT user_agent FROM post_views ORDER BY id')
  assert.deepEqual(
    rows.map(row => row['user_agent']),
    [FIREFOX, 'of another', 'of both', 'of a failed batch'],
  )
})

/** Removes unused texts; calls `meanwhile` after all rows are read, before each removal. */
async function removeUnused(t: TestContext, url: string, meanwhile: () => Promise<unknown>) {
  const file = new SqliteFile(url.slice('sqlite:'.length))
  atEnd(t, () => file.close())
  const exclusive: Exclusive = async work => {
    await meanwhile()
    return file.use(({ writer }) => writer.transaction('BEGIN IMMEDIATE', work))
  }
  await file.open()
  return file.use(({ reader }) => removeUnusedTexts(reader(), exclusive, () => {}))
}

test('a text that a batch uses again while it is about to be removed stays', async t => {
  const { database, open, texts } = await emptyFile(t)
  const store = await open()
  await record(store, [
    view(LATELY, { userAgent: 'used again' }),
    view(LATELY, { userAgent: 'not used' }),
    view(LATELY),
  ])
  await database.query(`DELETE FROM post_views WHERE user_agent <> '${FIREFOX}'`)
  let again: Promise<unknown> | undefined
  const meanwhile = () => {
    again ??= record(store, [view(LATELY, { userAgent: 'used again' })])
    return again
  }
  assert.equal(await removeUnused(t, database.url, meanwhile), true)
  const left = await texts()
  assert.ok(left.includes('used again'))
  assert.ok(!left.includes('not used'))
  const [row] = await database.query('SELECT user_agent FROM post_views ORDER BY id DESC LIMIT 1')
  assert.equal(row!['user_agent'], 'used again')
})

test('while rows are changed through the views again and again, every text stays, and the caller learns it', async t => {
  const { database, open, texts } = await emptyFile(t)
  const store = await open()
  await record(store, [view(LATELY, { userAgent: 'not used' }), view(LATELY)])
  await database.query(`DELETE FROM post_views WHERE user_agent = 'not used'`)
  const changing = () =>
    database.query(
      `UPDATE post_views SET referer_host = CASE referer_host WHEN 'not used' THEN '' ELSE 'not used' END`,
    )
  assert.equal(await removeUnused(t, database.url, changing), false)
  const [row] = await database.query('SELECT referer_host FROM post_views')
  assert.equal(row!['referer_host'], 'not used')
  await database.query(`UPDATE post_views SET referer_host = ''`)
  assert.equal(await removeUnused(t, database.url, async () => {}), true)
  assert.ok(!(await texts()).includes('not used'))
})
