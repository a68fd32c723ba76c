/** The contract, third part: day keys, retention and erasure. */

import assert from 'node:assert/strict'
import { NOBODY } from './store-contract-damages.ts'
import {
  assertVerified,
  type ContractEngine,
  type Promises,
  type TestDatabase,
} from './store-contract-database.ts'
import { everythingIn, recount } from './store-contract-recount.ts'
import {
  GOOGLEBOT,
  outcomeOf,
  POST,
  received,
  record,
  SAFARI,
  unix,
  untilAvailable,
  view,
} from './support/views.ts'

const NOON = '2026-03-10T12:00:00Z'
const DAY_SECONDS = 86_400
const NOW = unix('2026-06-30T12:00:00Z')
const OPTIONS = { now: NOW, rawRetentionDays: 90, maxAgeSeconds: 30 * DAY_SECONDS }
const ALL = { posts: [POST, 'another'], from: '2026-01-01', to: '2026-12-31' }

export function retentionContract(promises: Promises, { countsByRows = false }: ContractEngine): void {
  promises('gives each day one key, the same for every process', async ({ open, kept }) => {
    const stores = [await open(), await open(), await open()]
    const days = ['2026-03-10', '2026-03-11', '2026-03-12']
    await Promise.all(
      stores.flatMap(store =>
        days.map(day => untilAvailable(() => record(store, [view(`${day}T12:00:00Z`)]))),
      ),
    )
    await record(await open(), [view(NOON)])
    const keys = Object.values(await kept.dayKeys())
    for (const key of keys) assert.match(key, /^[0-9a-f]{64}$/)
    assert.equal(new Set(keys).size, 3)
    // Under another key the reader would be another.
    const found = await stores[0]!.siteDays('2026-03-10', '2026-03-12')
    assert.deepEqual(
      found.map(({ views, unique_views }) => [views, unique_views]),
      [
        [4, 1],
        [3, 1],
        [3, 1],
      ],
    )
  })

  promises('removes raw rows by their receipt, and no number with them', async ({ open, kept }) => {
    const store = await open()
    const longAgo = { receivedAt: NOW - 90 * DAY_SECONDS - 1 }
    const justKept = { receivedAt: NOW - 90 * DAY_SECONDS }
    await record(store, [view('2026-03-30T12:00:00Z'), view('2026-03-31T12:00:00Z')], longAgo)
    await record(store, [view('2026-03-31T12:00:00Z'), view('2026-04-01T12:00:00Z')], justKept)
    await record(store, [view('2026-06-29T12:00:00Z')])
    const before = await everythingIn(store, ALL)
    assert.deepEqual(await store.prune(OPTIONS), { ran: true, rows: 2, days: 3 })
    assert.equal((await kept.rows()).length, 3)
    assert.deepEqual(await everythingIn(store, ALL), { ...before, minutes: [] })
    await assertVerified(store)
    assert.deepEqual(await store.prune(OPTIONS), { ran: true, rows: 0, days: 0 })
  })

  for (const bots of ['count', 'exclude'] as const) {
    promises(`knows a person and a bot again when their rows are removed (${bots})`, async ({ open }) => {
      const settings = { timeZone: 'UTC', windowHours: 24, uniqueBy: 'ip', bots } as const
      const store = await open(settings)
      const day = '2026-06-28'
      const of = (hour: number, ip: string, userAgent = SAFARI) =>
        view(`${day}T${hour}:00:00Z`, { ip, userAgent, userId: ip.endsWith('1') ? '7' : null })
      const question = { posts: [POST], from: day, to: day }
      const views = [
        of(10, '192.0.2.1'),
        of(10, '192.0.2.2', GOOGLEBOT),
        of(10, '192.0.2.3'),
        of(10, '192.0.2.3', GOOGLEBOT),
      ]
      const assertChosen = async () =>
        assert.deepEqual(
          (await everythingIn(store, question)).chosen,
          recount(views, settings, question).chosen,
        )
      await record(store, views, { receivedAt: unix(`${day}T11:00:00Z`) })
      const retention = { now: NOW, rawRetentionDays: 1, maxAgeSeconds: DAY_SECONDS }
      assert.deepEqual(await store.prune(retention), { ran: true, rows: 4, days: 0 })
      await assertChosen()
      // Two come as the other kind, one does not come again, and one is new.
      const later = [
        of(11, '192.0.2.1', GOOGLEBOT),
        of(11, '192.0.2.2'),
        of(11, '192.0.2.4'),
        of(11, '192.0.2.4', GOOGLEBOT),
      ]
      views.push(...later)
      await record(store, later, { receivedAt: NOW })
      await assertChosen()
      await assertVerified(store)
      // The day is closed, and its last rows go.
      await store.prune({ ...retention, now: NOW + DAY_SECONDS })
      await assertChosen()
      await store.prune({ ...retention, now: NOW + 3 * DAY_SECONDS })
      await assertChosen()
      await assertVerified(store)
    })
  }

  promises('removes more raw rows than fit into one transaction', async ({ open, kept }) => {
    const store = await open()
    const views = Array.from({ length: 4_500 }, () => view('2026-03-01T12:00:00Z'))
    await record(store, views)
    await record(store, [view('2026-06-29T12:00:00Z')])
    assert.equal((await store.prune(OPTIONS)).rows, 4_500)
    assert.equal((await kept.rows()).length, 1)
    assert.equal((await store.siteTotals()).views, 4_501)
    await assertVerified(store)
  })

  promises('keeps raw rows for ever where retention is 0', async ({ open, kept }) => {
    const store = await open()
    await record(store, [view('2020-03-01T12:00:00Z')])
    assert.equal((await store.prune({ ...OPTIONS, rawRetentionDays: 0 })).rows, 0)
    assert.equal((await kept.rows()).length, 1)
    await assertVerified(store)
  })

  promises('remembers ids for a day longer than it accepts views, at least', async ({ open }) => {
    const store = await open()
    const options = { ...OPTIONS, rawRetentionDays: 30 }
    const rows = received([view('2026-05-30T12:00:00Z')], { receivedAt: NOW - 31 * DAY_SECONDS })
    await store.recordViews(rows)
    await store.prune(options)
    assert.deepEqual(await store.recordViews(rows), outcomeOf(store, 0, 1))
    assert.equal((await store.prune({ ...options, now: NOW + 1 })).rows, 1)
  })

  promises('goes on counting into a day that lost raw rows', async ({ open, kept }) => {
    const store = await open()
    const received = { receivedAt: NOW - 31 * DAY_SECONDS - 1 }
    await record(store, [view('2026-05-30T11:59:58Z')], received)
    assert.deepEqual(await store.prune({ ...OPTIONS, rawRetentionDays: 30 }), { ran: true, rows: 1, days: 0 })
    assert.equal((await kept.rows()).length, 0)
    await record(store, [view('2026-05-30T13:00:00Z'), view('2026-05-30T13:00:00Z', { ip: '192.0.2.8' })])
    const [figures] = await store.siteDays('2026-05-30', '2026-05-30')
    assert.deepEqual([figures?.views, figures?.unique_views], [3, 2])
    await assertVerified(store)
  })

  // The 30th of May ends 30 days and a day before this moment: none of its views is accepted any more.
  const closing = { ...OPTIONS, now: unix('2026-05-31T00:00:00Z') + 31 * DAY_SECONDS }
  const MAY_30 = '2026-05-30T12:00:00Z'

  promises('closes a day that is over for good: its key and its visitors go', async ({ open, kept }) => {
    const store = await open()
    await record(store, [view(MAY_30), view('2026-05-29T12:00:00Z'), view('2026-05-31T12:00:00Z')])
    const keys = await kept.dayKeys()

    assert.equal((await store.prune({ ...closing, now: closing.now - 1 })).days, 1)
    assert.equal((await kept.dayKeys())['2026-05-30'], keys['2026-05-30'])
    assert.equal((await store.prune(closing)).days, 1)
    assert.deepEqual(await kept.dayKeys(), { '2026-05-31': keys['2026-05-31'] })
    if (!countsByRows) assert.deepEqual(await kept.readerDays(), ['2026-05-31'])
    await assertVerified(store)
  })

  promises(
    'opens a closed day again under a new key, and knows its readers by address',
    async ({ open, damage, kept }) => {
      const store = await open({ uniqueBy: 'ip+user_agent', bots: 'exclude' })
      const readers = [view(MAY_30), view(MAY_30, { ip: null }), view(MAY_30, { userAgent: GOOGLEBOT })]
      await record(store, readers)
      const key = (await kept.dayKeys())['2026-05-30']
      await store.prune(closing)
      if (!countsByRows) {
        await damage({ kind: 'readers left over' })
        assert.deepEqual(await kept.readerDays(), ['2026-05-30'])
      }
      await record(store, [view(MAY_30), view(MAY_30, { ip: null })])
      assert.notEqual((await kept.dayKeys())['2026-05-30'], key)
      await record(await open(store.settings), [view(MAY_30), view(MAY_30, { userAgent: SAFARI })])
      assert.equal((await store.siteTotals()).unique_views, 3)
      await assertVerified(store)

      // It stays open for as long as its views are accepted, and is closed once more.
      const longer = { ...closing, maxAgeSeconds: 60 * DAY_SECONDS }
      assert.equal((await store.prune(longer)).days, 0)
      assert.deepEqual(Object.keys(await kept.dayKeys()), ['2026-05-30'])
      if (!countsByRows) assert.deepEqual(await kept.readerDays(), ['2026-05-30'])
      assert.equal((await store.prune(closing)).days, 1)
      assert.deepEqual(await kept.dayKeys(), {})
      if (!countsByRows) assert.deepEqual(await kept.readerDays(), [])
      await assertVerified(store)
    },
  )

  promises('counts a reader of whom no address is left once more on a day opened again', async ({ open }) => {
    const [store, nameless] = [await open(), await open({}, { ipStorage: 'none' })]
    const [gone, kept, half] = [{ ip: '192.0.2.7' }, { ip: '192.0.2.8' }, { ip: '192.0.2.9' }]
    await record(nameless, [view(MAY_30, gone), view(MAY_30, half), view(MAY_30, { ip: null })])
    await record(store, [view(MAY_30, kept), view(MAY_30, half)])
    await store.prune(closing)
    await record(nameless, [view(MAY_30, gone), view(MAY_30, half), view(MAY_30, { ip: null })])
    await record(store, [view(MAY_30, kept), view(MAY_30, half)])
    const { views, unique_views } = await store.siteTotals()
    assert.deepEqual({ views, unique_views }, { views: 10, unique_views: 5 })
    await assertVerified(store)
  })

  const whereListed = countsByRows ? () => {} : promises
  whereListed('removes visitors that an interrupted run has left', async ({ open, damage, kept }) => {
    const store = await open()
    await record(store, [view('2026-03-01T12:00:00Z')])
    await store.prune(OPTIONS)
    const day = '2026-03-01'
    await damage({ kind: 'reader superfluous', post: 'a', day, visitor: NOBODY })
    assert.deepEqual(await kept.readerDays(), [day])
    await store.prune(OPTIONS)
    assert.deepEqual(await kept.readerDays(), [])
  })

  promises('forgets the minutes that are over', async ({ open }) => {
    const store = await open()
    await record(store, [view('2026-06-30T09:59:00Z'), view('2026-06-30T11:30:00Z')])
    await store.prune(OPTIONS)
    assert.deepEqual(await store.minutes(0), [{ minute: '2026-06-30T11:30:00Z', views: 1 }])
  })

  promises('prunes in one process at a time, and after one that died', async ({ open, damage, kept }) => {
    const store = await open()
    await record(store, [view('2026-03-01T12:00:00Z')])
    await damage({ kind: 'another prunes', until: NOW + 60 })
    assert.deepEqual(await store.prune(OPTIONS), { ran: false, rows: 0, days: 0 })
    assert.equal((await kept.rows()).length, 1)
    assert.deepEqual(await store.prune({ ...OPTIONS, now: NOW + 60 }), { ran: true, rows: 1, days: 1 })
    assert.deepEqual(await store.prune(OPTIONS), { ran: true, rows: 0, days: 0 })
  })

  promises('prunes beside a consumer', async ({ open, kept }) => {
    const [store, consumer] = [await open(), await open()]
    await record(
      store,
      Array.from({ length: 9_000 }, () => view('2026-03-01T12:00:00Z')),
    )
    let pruning = true
    let counted = 0
    const consuming = (async () => {
      while (pruning) {
        counted += (await untilAvailable(() => record(consumer, [view('2026-06-29T12:00:00Z')]))).counted
      }
    })()
    const pruned = await store.prune(OPTIONS).finally(() => {
      pruning = false
    })
    await consuming
    assert.equal(pruned.rows, 9_000)
    assert.equal((await kept.rows()).length, counted)
    assert.equal((await store.siteTotals()).views, 9_000 + counted)
    await assertVerified(store)
  })

  const reader = { ip: '192.0.2.7', userId: '7', userAgent: SAFARI, referer: 'https://a.example/?user=7' }
  const erasures = { 'a user': { userId: '7' }, 'an address': { ip: '192.0.2.7' } }
  for (const [whom, who] of Object.entries(erasures)) {
    promises(`forgets ${whom}, and no number`, async ({ open, kept }) => {
      const store = await open({ uniqueBy: 'ip+user_agent', bots: 'exclude' })
      await record(store, [view(NOON, reader), view(NOON, { userId: '77', ip: '192.0.2.77' }), view(NOON)])
      await record(store, [
        view(NOON, { ...reader, postUuid: 'another' }),
        view('2026-03-11T12:00:00Z', reader),
      ])
      const before = await everythingIn(store, ALL)
      assert.equal(await store.forget(who), 3)
      assert.deepEqual(await everythingIn(store, ALL), before)
      await assertVerified(store)

      const rows = await kept.rows()
      const readers = rows.map(({ userId, ip, userAgent, referer }) => [userId, ip, userAgent, referer])
      assert.equal(readers.filter(about => about.every(value => value === null)).length, 3)
      assert.doesNotMatch(JSON.stringify(readers), /"7"|"192\.0\.2\.7"|a\.example/)
      assert.equal(rows.filter(({ ip, userId }) => ip === '192.0.2.77' && userId === '77').length, 1)

      assert.equal((await rebuilt(store)).fixed, 0)
      assert.deepEqual(await everythingIn(store, ALL), before)
      assert.equal(await store.forget(who), 0)

      // Who was forgotten is still the same reader.
      await record(store, [view('2026-03-10T15:00:00Z', reader)])
      assert.deepEqual((await store.postTotals([POST]))[0]?.unique_views, 4)
      await assertVerified(store)
    })
  }

  promises(
    'who was logged in without a user id stays so, for verify, rebuild and forget',
    async ({ open, damage, kept }) => {
      const store = await open()
      const nameless = { userId: null, loggedIn: true, referer: 'https://a.example/' }
      const views = [
        view(NOON, { ...nameless, ip: '192.0.2.7' }),
        view(NOON, { ...nameless, ip: '192.0.2.8', postUuid: 'another' }),
        view(NOON, { userId: '7', ip: '192.0.2.9' }),
        view(NOON, { ip: '192.0.2.10' }),
      ]
      await record(store, views)
      const before = await everythingIn(store, ALL)
      const { views: all, logged_in, anonymous } = await store.siteTotals()
      assert.deepEqual({ all, logged_in, anonymous }, { all: 4, logged_in: 3, anonymous: 1 })
      await assertVerified(store)
      assert.equal((await rebuilt(store)).fixed, 0)

      // `rebuild` counts the whole day again.
      await damage({ kind: 'too high', figure: 'logged_in', of: 'aggregate', post: POST, day: '2026-03-10' })
      assert.ok((await rebuilt(store)).fixed > 0)
      await assertVerified(store)
      assert.deepEqual(await everythingIn(store, ALL), before)

      assert.equal(await store.forget({ ip: '192.0.2.7' }), 1)
      assert.equal(await store.forget({ userId: '7' }), 1)
      await assertVerified(store)
      assert.equal((await rebuilt(store)).fixed, 0)
      assert.deepEqual(await everythingIn(store, ALL), before)
      const rows = await kept.rows()
      assert.deepEqual(rows.map(({ userId, loggedIn }) => `${userId} ${loggedIn}`).toSorted(), [
        'null false',
        'null true',
        'null true',
        'null true',
      ])
    },
  )

  promises('forgets nobody in an empty store', async ({ open }) => {
    const store = await open()
    assert.equal(await store.forget({ userId: '7' }), 0)
  })
}

function rebuilt(store: Awaited<ReturnType<TestDatabase['open']>>) {
  return store.rebuild({ adoptSettings: false })
}
