/** The contract, first part: what is counted, how often, and as what. */

import assert from 'node:assert/strict'
import { FIGURE_NAMES } from '@postviews/client/src/figures.ts'
import { canonicalIp } from '@postviews/client/src/index.ts'
import type { CountingSettings } from '../packages/analytics/src/store/counting-settings.ts'
import { addDays } from '../packages/analytics/src/store/days.ts'
import { RowRejected } from '../packages/analytics/src/store/failures.ts'
import type { ChosenFigures } from '../packages/analytics/src/store/figures.ts'
import type { Store } from '../packages/analytics/src/store/store.ts'
import {
  assertVerified,
  type ContractEngine,
  differencesIn,
  type Promises,
  type TestDatabase,
  topOf,
} from './store-contract-database.ts'
import { referrersIn } from './support/referrers.ts'
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

const NO_VIEWS = Object.fromEntries(FIGURE_NAMES.map(name => [name, 0]))
const DAY = '2026-03-10'
const NOON = `${DAY}T12:00:00Z`

export function countingContract(
  promises: Promises,
  { unkeepable, counters, countsByRows = false }: ContractEngine,
): void {
  /** A promise about one store of these settings; whatever was counted, it must verify in the end. */
  function counts(
    sentence: string,
    settings: Partial<CountingSettings>,
    body: (store: Store, database: TestDatabase) => Promise<void>,
  ): void {
    promises(sentence, async database => {
      const store = await database.open(settings)
      await body(store, database)
      await assertVerified(store)
    })
  }

  counts('counts a view that comes twice in one batch once', {}, async store => {
    const twice = view(NOON)
    assert.deepEqual(await record(store, [twice, twice]), outcomeOf(store, 1, 1))
    assert.equal(await viewsOf(store), 1)
  })

  counts('counts a redelivered view once', {}, async store => {
    const rows = received([view(NOON), view(NOON)])
    assert.deepEqual(await store.recordViews(rows), outcomeOf(store, 2, 0))
    assert.deepEqual(await store.recordViews(rows), outcomeOf(store, 0, 2))
    assert.equal(await viewsOf(store), 2)
  })

  counts('keeps nothing of a rehearsal, but the keys of its days', {}, async (store, { kept }) => {
    await record(store, [view(NOON)])
    const [before, keysBefore] = [await kept.everything(), await kept.dayKeys()]
    // Of a view of its own not even that.
    await store.rehearse([])
    assert.deepEqual(await kept.dayKeys(), keysBefore)
    const views = [
      view(NOON, { referer: 'https://a.example/' }),
      view('2026-03-11T12:00:00Z', { userId: '7' }),
    ]
    await store.rehearse(received(views))
    assert.deepEqual(await kept.everything(), before)
    assert.deepEqual(await record(store, views), outcomeOf(store, 2, 0))
  })

  counts('counts the new views of a batch that holds old ones', {}, async store => {
    const [a, b, c, d] = [view(NOON), view(NOON), view(NOON), view(NOON)]
    await record(store, [a, c])
    assert.deepEqual(await record(store, [a, b, c, d, b]), outcomeOf(store, 2, 3))
    assert.equal(await viewsOf(store), 4)
  })

  const takesTheFirst = countsByRows ? () => {} : counts
  takesTheFirst(
    'takes post, time and day of a view from the first delivery that was committed',
    {},
    async store => {
      const first = view(NOON, { userId: '7', referer: 'https://first.example/' })
      const others = [
        view('2026-03-11T12:00:00Z', { eventId: first.eventId }),
        view('2026-01-10T12:00:00Z', { eventId: first.eventId, postUuid: 'another', userAgent: GOOGLEBOT }),
        view('2026-03-10T23:59:59Z', { eventId: first.eventId, ip: '192.0.2.2' }),
      ]
      await record(store, [first, others[0]!])
      assert.deepEqual(await record(store, others), outcomeOf(store, 0, 3))
      const totals = { views: 1, unique_views: 1, logged_in: 1, anonymous: 0, bots: 0 }
      const times = { first_viewed_at: NOON, last_viewed_at: NOON }
      assert.partialDeepStrictEqual(await store.postTotals([POST, 'another']), [
        { post_uuid: POST, ...totals, ...times },
        { post_uuid: 'another', ...NO_VIEWS, first_viewed_at: null, last_viewed_at: null },
      ])
      assert.partialDeepStrictEqual(await store.siteDays('2026-01-01', '2026-12-31'), [
        { date: '2026-03-10', ...totals },
      ])
    },
  )

  if (countsByRows) {
    promises(
      'takes an id that is sent again with another post or time for another view, and names it',
      async ({ open }) => {
        const store = await open()
        const first = view(NOON)
        const again = view(NOON, {
          eventId: first.eventId,
          userAgent: GOOGLEBOT,
          ip: '192.0.2.9',
          userId: '7',
        })
        const others = [
          view('2026-03-11T12:00:00Z', { eventId: first.eventId }),
          view(NOON, { eventId: first.eventId, postUuid: 'another' }),
        ]
        await record(store, [first, view(NOON)])
        await record(store, [again], { receivedAt: again.viewedAt + 2 })
        assert.equal((await store.siteTotals()).views, 2)
        await assertVerified(store)
        await record(store, others)
        const { views, logged_in } = await store.siteTotals()
        assert.deepEqual({ views, logged_in }, { views: 4, logged_in: 0 })
        const named = await differencesIn(store)
        assert.deepEqual(named, [
          { kind: 'id', name: `id ${first.eventId}`, field: 'views', expected: 1, found: 3 },
        ])
      },
    )

    counts('takes a view without a time of its own for one, whenever it is received', {}, async store => {
      const views = ['2026-03-10T23:59:59Z', '2026-03-11T00:00:05Z'].map(time =>
        view(time, { eventId: '0190a000-0000-7000-8000-000000000001', ownTime: null, timeSource: 'receipt' }),
      )
      await record(store, [views[1]!])
      assert.deepEqual(await uniquesByDay(store), { '2026-03-11': 1 })
      // Received before, though it was recorded later.
      await record(store, [views[0]!])
      assert.deepEqual(await uniquesByDay(store), { '2026-03-10': 1 })
    })
  }

  counts(
    'counts a view whose message said a time far ahead, and keeps its row no longer',
    {},
    async store => {
      const ahead = ['2026-03-11T11:00:00Z', '2026-03-14T12:00:00Z', '2088-01-01T00:00:00Z'].map(time =>
        view(NOON, { ownTime: unix(time), timeSource: 'receipt' }),
      )
      await record(store, [...ahead, view(NOON)])
      await record(store, ahead)
      assert.equal(await viewsOf(store), 4)
      await assertVerified(store)
      const { rows } = await store.prune({
        now: unix('2026-07-01T00:00:00Z'),
        rawRetentionDays: 40,
        maxAgeSeconds: 30 * 86_400,
      })
      assert.equal(rows, 4)
      assert.equal(await viewsOf(store), 4)
    },
  )

  counts('counts a view without an id each time it comes', {}, async store => {
    const rows = received([view(NOON, { eventId: null }), view(NOON)])
    assert.deepEqual(await store.recordViews(rows), outcomeOf(store, 2, 0))
    assert.deepEqual(await store.recordViews(rows), outcomeOf(store, 1, 1))
    assert.equal(await viewsOf(store), 3)
  })

  counts('counts views that several stores record at once exactly once', {}, async (store, { open }) => {
    const stores = [store, await open(), await open()]
    const views = Array.from({ length: 300 }, (_, index) =>
      view(NOON, { postUuid: `post-${index % 7}`, ip: `192.0.2.${index % 50}` }),
    )
    const results = await Promise.all(
      stores.map(async (each, nth) => {
        let counted = 0
        for (let from = 0; from < views.length; from += 20) {
          // Each begins elsewhere, so that they meet the same ids, and the same counters, at different times.
          const at = (from + nth * 100) % views.length
          counted += (await untilAvailable(() => record(each, views.slice(at, at + 20)))).counted
        }
        return counted
      }),
    )
    const told = results.reduce((sum, counted) => sum + counted)
    assert.equal(told, countsByRows ? 900 : 300)
    const { views: total, unique_views } = await store.siteTotals()
    assert.deepEqual({ total, unique_views }, { total: 300, unique_views: 300 })
  })

  counts('breaks down the views that several stores record at once', {}, async (store, { open }) => {
    const stores = [store, await open(), await open()]
    const hosts = ['a.example', 'b.example', 'c.example', 'd.example']
    // Two posts with many views in each batch, one with few that are packed once they are many, and some with hardly any.
    const postOf = (nth: number) => {
      if (nth < 7) return 'few'
      return nth % 3 === 0 ? `rare-${nth % 50}` : `post-${nth % 2}`
    }
    await Promise.all(
      stores.map(async (each, of) => {
        for (let batch = 0; batch < 12; batch++) {
          const views = Array.from({ length: 60 }, (_, nth) =>
            view(NOON, {
              postUuid: postOf(nth),
              referer: `https://${hosts[(nth + of) % 4]}/`,
              userAgent: nth % 5 === 0 ? GOOGLEBOT : 'Mozilla/5.0',
            }),
          )
          await untilAvailable(() => record(each, views))
        }
      }),
    )
    const of = (views: number) => ({
      referrers: hosts.map(host => ({ host, views })),
      other: { views: 0 },
    })
    assert.deepEqual(await referrersIn(store, null, DAY, DAY, 10), of((3 * 12 * 60) / 4))
    for (const post of ['post-0', 'post-1', 'few']) {
      const { referrers } = await referrersIn(store, post, DAY, DAY, 10)
      const [total] = await store.postTotals([post])
      assert.equal(
        referrers.reduce((sum, { views }) => sum + views, 0),
        total!.views,
      )
      assert.ok(total!.views! > 250)
    }
    await assertVerified(store)
  })

  counts('counts a batch of 5,000', {}, async store => {
    const views = Array.from({ length: 5_000 }, (_, index) =>
      view(NOON, { postUuid: `post-${index % 900}`, ip: `198.51.100.${index % 250}` }),
    )
    assert.deepEqual(await record(store, views), outcomeOf(store, 5_000, 0))
    assert.deepEqual(await record(store, views), outcomeOf(store, 0, 5_000))
    assert.equal((await store.siteTotals()).views, 5_000)
  })

  counts('changes nothing for a batch without views', {}, async store => {
    assert.deepEqual(await store.recordViews([]), { counted: 0, duplicates: 0 })
    assert.deepEqual(await store.progress(), { lastCommittedAt: null, lastViewedAt: null })
  })

  counts('rejects a batch with a row that cannot be kept, whole, and takes the others', {}, async store => {
    const rows = received([view(NOON), view(NOON), view(NOON, { referer: 'https://a.example/' })])
    const bad = { ...rows[1]!, ...unkeepable }
    await assert.rejects(store.recordViews([rows[0]!, bad, rows[2]!]), RowRejected)
    await assert.rejects(store.recordViews([bad]), RowRejected)
    assert.equal((await store.siteTotals()).views, 0)
    assert.deepEqual((await referrersIn(store, null, '2026-03-10', '2026-03-10', 10)).referrers, [])
    assert.deepEqual(await store.progress(), { lastCommittedAt: null, lastViewedAt: null })
    assert.deepEqual(await store.recordViews([rows[0]!, rows[2]!]), outcomeOf(store, 2, 0))
  })

  counts('keeps rows and every counter together, or none of them', {}, async (store, { damage, kept }) => {
    // So many of one post that their breakdowns are written too.
    const many = Array.from({ length: 40 }, () => view(NOON))
    const rows = received([...many, view('2026-03-11T12:00:00Z', { postUuid: 'another' })])
    for (const table of counters) {
      await damage({ kind: 'table taken away', table })
      await assert.rejects(store.recordViews(rows))
      await damage({ kind: 'table given back', table })
      assert.deepEqual(await kept.rows(), [], table)
      assert.deepEqual(await store.siteTotals(), { ...NO_VIEWS, first_viewed_at: null, last_viewed_at: null })
      await assertVerified(store)
    }
    assert.deepEqual(await store.recordViews(rows), outcomeOf(store, 41, 0))
  })

  counts('counts a view on the day it happened, whenever it came', {}, async store => {
    const late = { receivedAt: unix('2026-03-14T09:00:00Z') }
    await record(store, [view('2026-03-10T23:59:59Z'), view('2026-03-11T00:00:00Z')], late)
    assert.deepEqual(await uniquesByDay(store), { '2026-03-10': 1, '2026-03-11': 1 })
  })

  counts('counts the days of its time zone', { timeZone: 'Europe/Warsaw' }, async store => {
    await record(store, [view('2026-03-10T22:59:59Z'), view('2026-03-10T23:00:00Z')])
    assert.deepEqual(await uniquesByDay(store), { '2026-03-10': 1, '2026-03-11': 1 })
  })

  const unevenDays: [timeZone: string, day: string, hours: number][] = [
    ['Europe/Warsaw', '2026-03-29', 23],
    ['Europe/Warsaw', '2025-10-26', 25],
    ['America/Sao_Paulo', '2018-11-04', 23],
    ['America/Sao_Paulo', '2018-02-17', 25],
    ['Asia/Beirut', '2026-03-29', 23],
    ['Africa/Cairo', '2026-04-24', 23],
  ]
  for (const [timeZone, day, hours] of unevenDays) {
    const settings = { timeZone, windowHours: 1 }
    counts(`counts a day of ${hours} hours in ${timeZone} as such`, settings, async store => {
      const { start, end } = store.calendar.bounds(day)
      assert.equal(end - start, hours * 3_600)
      const halfHours = Array.from({ length: 2 * hours + 4 }, (_, index) => start - 3_600 + index * 1_800)
      await record(
        store,
        halfHours.map(viewedAt => view(NOON, { viewedAt })),
      )
      assert.deepEqual(await uniquesByDay(store), {
        [addDays(day, -1)]: 1,
        [day]: hours,
        [addDays(day, 1)]: 1,
      })
      const [figures] = await store.siteDays(day, day)
      assert.equal(figures?.views, 2 * hours)
    })
  }

  for (const windowHours of [1, 6, 24]) {
    counts(`counts a reader once in each window of ${windowHours} h`, { windowHours }, async store => {
      const quarters = Array.from({ length: 96 }, (_, index) => unix('2026-03-10T00:00:00Z') + index * 900)
      await record(
        store,
        quarters.reverse().map(viewedAt => view(NOON, { viewedAt })),
      )
      assert.deepEqual(await uniquesByDay(store), { '2026-03-10': 24 / windowHours })
      assert.equal(await viewsOf(store), 96)
    })
  }

  const warsaw = { timeZone: 'Europe/Warsaw' }
  counts('ends the last window with the day', { ...warsaw, windowHours: 12 }, async store => {
    const { end } = store.calendar.bounds('2025-10-26')
    const times = [end - 3_601, end - 3_600, end - 1, end, end + 1]
    await record(
      store,
      times.map(viewedAt => view(NOON, { viewedAt })),
    )
    assert.deepEqual(await uniquesByDay(store), { '2025-10-26': 2, '2025-10-27': 1 })
  })

  counts('counts the whole of a long day as one window of 24 h', warsaw, async store => {
    const { start, end } = store.calendar.bounds('2025-10-26')
    await record(
      store,
      [start, end - 1].map(viewedAt => view(NOON, { viewedAt })),
    )
    assert.deepEqual(await uniquesByDay(store), { '2025-10-26': 1 })
  })

  counts('tells readers apart by their address', {}, async store => {
    await record(store, [view(NOON), view(NOON, { userAgent: SAFARI }), view(NOON, { ip: '2001:db8::1' })])
    await record(store, [view(NOON), view(NOON, { ip: '2001:db8::1', userId: '7' })])
    assert.deepEqual(await uniquesByDay(store), { '2026-03-10': 2 })
  })

  counts('tells readers apart by address and agent', { uniqueBy: 'ip+user_agent' }, async store => {
    await record(store, [view(NOON), view(NOON, { userAgent: SAFARI }), view(NOON, { ip: '2001:db8::1' })])
    await record(store, [view(NOON), view(NOON, { userAgent: null }), view(NOON, { userAgent: SAFARI })])
    assert.deepEqual(await uniquesByDay(store), { '2026-03-10': 4 })
  })

  const ofOneNetwork = ['2001:db8:0:1::1', '2001:db8:0:1:ffff::2']
  const addresses = [...ofOneNetwork, '2001:db8:0:2::1', '192.0.2.1', '192.0.2.2', '::ffff:192.0.2.2']
  counts('takes the addresses of an IPv6 network for one reader', { uniqueBy: 'network' }, async store => {
    await record(
      store,
      addresses.map(ip => view(NOON, { ip: canonicalIp(ip)! })),
    )
    await record(store, [view(NOON, { ip: ofOneNetwork[1]!, userAgent: SAFARI }), view(NOON, { ip: null })])
    assert.deepEqual(await uniquesByDay(store), { '2026-03-10': 5 })
  })

  counts('tells apart the agents of a network', { uniqueBy: 'network+user_agent' }, async store => {
    await record(
      store,
      ofOneNetwork.flatMap(ip => [view(NOON, { ip }), view(NOON, { ip, userAgent: SAFARI })]),
    )
    assert.deepEqual(await uniquesByDay(store), { '2026-03-10': 2 })
  })

  for (const uniqueBy of ['ip', 'ip+user_agent', 'network'] as const) {
    const settings = { uniqueBy, windowHours: 12 }
    counts(`counts readers without an address as one in a window (${uniqueBy})`, settings, async store => {
      const unknown = { ip: null }
      await record(store, [view(NOON, unknown), view(NOON, { ...unknown, userAgent: SAFARI }), view(NOON)])
      await record(store, [view(NOON, { ...unknown, userAgent: null, userId: '7' })])
      assert.deepEqual(await uniquesByDay(store), { '2026-03-10': 2 })
      await record(store, [view('2026-03-10T11:59:59Z', unknown), view(NOON, { ...unknown, postUuid: 'b' })])
      assert.deepEqual(await uniquesByDay(store), { '2026-03-10': 4 })
    })
  }

  counts('counts a reader anew on every post and every day', {}, async store => {
    const days = ['2026-03-10T12:00:00Z', '2026-03-11T12:00:00Z']
    await record(
      store,
      days.flatMap(day => [view(day), view(day, { postUuid: 'b' }), view(day)]),
    )
    assert.deepEqual(await uniquesByDay(store), { '2026-03-10': 2, '2026-03-11': 2 })
  })

  counts(
    'gives the same numbers for the same readers when it keeps no addresses',
    {},
    async (store, { open }) => {
      const views = [view(NOON), view(NOON), view(NOON, { ip: '2001:db8::1' }), view(NOON, { ip: null })]
      await record(await open({}, { ipStorage: 'none' }), views)
      await record(store, [view(NOON)])
      assert.deepEqual(await uniquesByDay(store), { '2026-03-10': 3 })
    },
  )

  counts('counts readers as logged in or anonymous, which add up to views', {}, async store => {
    await record(store, [view(NOON, { userId: '7' }), view(NOON), view(NOON)])
    await record(store, [view(NOON, { userId: '8' }), view(NOON, { userId: '7' })])
    const { views, logged_in, anonymous } = await store.siteTotals()
    assert.deepEqual({ views, logged_in, anonymous }, { views: 5, logged_in: 3, anonymous: 2 })
  })

  const referer = 'https://a.example/'
  const bot = { userAgent: GOOGLEBOT, userId: '7', referer }

  counts('counts bots like any reader, and beside the rest', { bots: 'count' }, async store => {
    await record(store, [
      view(NOON, bot),
      view(NOON),
      view('2026-03-10T13:00:00Z', { ...bot, ip: '192.0.2.9' }),
    ])
    const figures = { views: 3, unique_views: 2, logged_in: 2, anonymous: 1, bots: 2 }
    const times = { first_viewed_at: NOON, last_viewed_at: '2026-03-10T13:00:00Z' }
    assert.partialDeepStrictEqual(await store.postTotals([POST]), [{ post_uuid: POST, ...figures, ...times }])
    assert.partialDeepStrictEqual(await store.siteDays('2026-03-10', '2026-03-10'), [
      { date: '2026-03-10', ...figures },
    ])
  })

  counts('keeps bots out of every number but their own', { bots: 'exclude' }, async store => {
    await record(store, [view('2026-03-10T11:00:00Z', bot), view('2026-03-10T13:00:00Z', bot)])
    await record(store, [view(NOON, { postUuid: 'bots-alone', ...bot })])
    const nothing = { ...NO_VIEWS, first_viewed_at: null, last_viewed_at: null }
    assert.deepEqual(await store.postTotals([POST, 'bots-alone']), [
      { post_uuid: POST, ...nothing, bots: 2 },
      { post_uuid: 'bots-alone', ...nothing, bots: 1 },
    ])
    assert.deepEqual(await store.siteTotals(), { ...nothing, bots: 3 })
    assert.deepEqual(await topOf(store, null, 10, 0), { total: 0, posts: [] })
    const day = { from: '2026-03-10', to: '2026-03-10' }
    assert.deepEqual(await topOf(store, day, 10, 0), { total: 0, posts: [] })
    assert.deepEqual((await referrersIn(store, null, day.from, day.to, 10)).referrers, [])
    assert.deepEqual(await store.minutes(0), [])

    // A person behind the same address is a reader of their own.
    await record(store, [view(NOON)])
    const figures = { views: 1, unique_views: 1, logged_in: 0, anonymous: 1, bots: 2 }
    assert.partialDeepStrictEqual(await store.postTotals([POST]), [
      { post_uuid: POST, ...figures, first_viewed_at: NOON, last_viewed_at: NOON },
    ])
  })

  const figuresOfAll = { views: 5, unique_views: 2, logged_in: 2, anonymous: 3, bots: 2 }
  const CHOSEN = {
    people: { views: 3, unique_views: 2, logged_in: 1, anonymous: 2, bots: 0 },
    bots: { views: 2, unique_views: 1, logged_in: 1, anonymous: 1, bots: 2 },
    all: figuresOfAll,
  }
  for (const bots of ['count', 'exclude'] as const) {
    counts(`counts a reader once among people, bots and all (${bots})`, { bots }, async store => {
      // One address is a bot's and a person's, in either order; another one is a person's alone.
      const known = { userId: '7' }
      await record(store, [view(NOON, { userAgent: GOOGLEBOT, ...known }), view(NOON, known)])
      await record(store, [view(NOON, { ip: '192.0.2.9' }), view(NOON)])
      await record(store, [view(NOON, { userAgent: GOOGLEBOT })])
      for (const [who, figures] of Object.entries(CHOSEN) as [keyof typeof CHOSEN, ChosenFigures][]) {
        assert.partialDeepStrictEqual(await store.postTotals([POST], who), [figures], who)
        assert.partialDeepStrictEqual(await store.siteTotals(who), figures, who)
        const period = ['2026-03-10', '2026-03-10'] as const
        assert.partialDeepStrictEqual(await store.siteDays(...period, who), [figures], who)
        assert.deepEqual((await store.postDays([POST], ...period, who)).get(POST), [
          { date: '2026-03-10', ...figures },
        ])
      }
    })
  }

  counts('tells the first and the last view by their own times', {}, async store => {
    for (const hour of [12, 9, 15, 11])
      await record(store, [view(`2026-03-10T${String(hour).padStart(2, '0')}:00:30Z`)])
    await record(store, [view('2026-03-08T23:00:00Z')])
    const [totals] = await store.postTotals([POST])
    assert.equal(totals?.first_viewed_at, '2026-03-08T23:00:00Z')
    assert.equal(totals?.last_viewed_at, '2026-03-10T15:00:30Z')
  })

  counts('tells ids of posts apart by their bytes', {}, async store => {
    const ids = ['aB1', 'Ab1', 'ab1', 'a-1', 'a_1', '1', '01', '-', '_', 'x'.repeat(36), `${'x'.repeat(35)}y`]
    for (const _ of ids) {
      await record(
        store,
        ids.map(postUuid => view(NOON, { postUuid })),
      )
    }
    assert.deepEqual(
      (await store.postTotals(ids)).map(({ post_uuid, views, unique_views }) => ({
        post_uuid,
        views,
        unique_views,
      })),
      ids.map(post_uuid => ({ post_uuid, views: ids.length, unique_views: 1 })),
    )
    const sorted = ids.toSorted()
    const { posts } = await topOf(store, null, 100, 0)
    assert.deepEqual(
      posts.map(({ post_uuid }) => post_uuid),
      sorted,
    )
  })

  counts('keeps the ids of users to the last digit', {}, async store => {
    const largest = String(2n ** 64n - 1n)
    const ids = [largest, String(2n ** 64n - 2n), String(2n ** 53n + 1n), '1']
    await record(
      store,
      ids.map(userId => view(NOON, { userId })),
    )
    assert.equal(await store.forget({ userId: String(2n ** 53n) }), 0)
    for (const userId of ids) assert.equal(await store.forget({ userId }), 1)
    assert.equal((await store.siteTotals()).logged_in, 4)
  })

  // That it verifies in the end proves the texts: readers and hosts are derived from them once more.
  counts('keeps texts of any language, to their full length', { uniqueBy: 'ip+user_agent' }, async store => {
    const agents = [
      'Браузер/1.0',
      '🦊🦊',
      '🦊'.repeat(2_000),
      'ы'.repeat(2_000),
      'e\u0301',
      'é',
      '\ufffd',
      ' a ',
      'a',
      '',
      'NULL',
      '{"a\\b", \'c\'}\\',
      'a\tb\r\nc',
    ]
    const referers = [
      'https://пример.рф/страница?поиск=да',
      `https://a.example/${'🦊'.repeat(482)}`,
      `https://b.example/${'ы'.repeat(482)}`,
    ]
    await record(
      store,
      agents.map((userAgent, index) => view(NOON, { userAgent, referer: referers[index % 3]! })),
    )
    await record(
      store,
      agents.map(userAgent => view(NOON, { userAgent })),
    )
    assert.deepEqual(await uniquesByDay(store), { '2026-03-10': agents.length })
  })
}

async function viewsOf(store: Store): Promise<number | null | undefined> {
  return (await store.postTotals([POST]))[0]?.views
}

/** The site's unique views by day, of all days there are. */
async function uniquesByDay(store: Store): Promise<Record<string, number | null>> {
  const days = await store.siteDays('2000-01-01', '2099-12-31')
  return Object.fromEntries(days.map(({ date, unique_views }) => [date, unique_views]))
}
