/** The contract, fifth part: the version of a database, and the settings it counts under. */

import assert from 'node:assert/strict'
import type { View } from '@postviews/client/src/index.ts'
import type { CountingSettings } from '../packages/analytics/src/store/counting-settings.ts'
import { StoreRefused, StoreUnavailable } from '../packages/analytics/src/store/failures.ts'
import type { Views } from '../packages/analytics/src/store/pack.ts'
import type { Store } from '../packages/analytics/src/store/store.ts'
import { assertVerified, type Promises } from './store-contract-database.ts'
import { questionOf, randomOf, randomViews } from './store-contract-random.ts'
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
const ADOPT = { adoptSettings: true } as const
/** Keeps no addresses. */
const NAMELESS = { ipStorage: 'none' } as const
const KEEP = { adoptSettings: false } as const

/** Each setting another than by default, with the name and value that a person knows it by. */
const OTHERS: [settings: Partial<CountingSettings>, named: RegExp][] = [
  [{ timeZone: 'Europe/Warsaw' }, /STATS_TIMEZONE is Europe\/Warsaw.*UTC/],
  [{ windowHours: 6 }, /UNIQUE_WINDOW is 6h.*24h/],
  [{ uniqueBy: 'ip+user_agent' }, /UNIQUE_BY is ip\+user_agent.*ip/],
  [{ bots: 'exclude' }, /BOTS is exclude.*count/],
]
const ALL_OTHER = Object.assign({}, ...OTHERS.map(([settings]) => settings)) as CountingSettings
const ADOPTED = [
  ...OTHERS.map(([settings]) => settings),
  ALL_OTHER,
  { ...ALL_OTHER, timeZone: 'Pacific/Kiritimati' },
  { ...ALL_OTHER, timeZone: 'America/Los_Angeles' },
]

const OF_ONE_NETWORK = ['2001:db8::1', '2001:db8::2'].map(ip => view(NOON, { ip }))
const VIEWS = randomViews(randomOf(6), 250)
const QUESTION = questionOf(VIEWS)

export function settingsContract(promises: Promises): void {
  promises('brings a new database to this version, and again changes nothing', async ({ openAsIs }) => {
    const store = await openAsIs()
    await assert.rejects(store.checkSettings(), { constructor: StoreRefused, message: /postviews migrate/ })
    await store.migrate()
    await store.checkSettings()
    await record(store, [view(NOON)])
    await store.migrate()
    assert.equal((await store.siteTotals()).views, 1)
    await assertVerified(store)
  })

  promises('is brought to this version by several processes at once', async ({ openAsIs }) => {
    const stores = await Promise.all([openAsIs(), openAsIs(), openAsIs(), openAsIs()])
    await Promise.all(stores.map(store => store.migrate()))
    await Promise.all(stores.map(store => store.checkSettings()))
    await record(stores[3]!, [view(NOON)])
    assert.equal((await stores[0]!.siteTotals()).views, 1)
  })

  promises('refuses a database of a newer version', async ({ open, openAsIs, damage }) => {
    await record(await open(), [view(NOON)])
    await damage({ kind: 'newer version', migration: 999 })
    const store = await openAsIs()
    const newer = { constructor: StoreRefused, message: /999.*newer/ }
    await assert.rejects(store.migrate(), newer)
    await assert.rejects(store.checkSettings(), newer)
    assert.equal((await store.siteTotals()).views, 1)
  })

  for (const [settings, named] of OTHERS) {
    const other = Object.keys(settings)[0]!
    promises(`refuses a process of another ${other}, at its start and at every batch`, async ({ open }) => {
      const store = await open()
      await store.checkSettings()
      const stranger = await open(settings)
      await assert.rejects(stranger.checkSettings(), { constructor: StoreRefused, message: named })
      await assert.rejects(record(stranger, [view(NOON)]), { constructor: StoreRefused, message: named })
      await assert.rejects(stranger.rebuild(KEEP), { constructor: StoreRefused, message: named })
      assert.equal((await store.siteTotals()).views, 0)
      await store.checkSettings()
    })
  }

  for (const [recorded, own] of [
    ['europe/warsaw', 'Europe/Warsaw'],
    ['Asia/Kolkata', 'Asia/Calcutta'],
  ] as const) {
    promises(`knows ${recorded} as ${own}, and adopts it without readers' addresses`, async ({ open }) => {
      await record(await open({ timeZone: recorded }, NAMELESS), VIEWS)
      const store = await open({ timeZone: own })
      await store.checkSettings()
      assert.equal((await store.rebuild(KEEP)).fixed, 0)
      assert.deepEqual(await record(store, [view(NOON)]), outcomeOf(store, 1, 0))
      const { fixed, firstDay } = await store.rebuild(ADOPT)
      assert.deepEqual([fixed, firstDay], [0, null])
      await assertVerified(store)
    })
  }

  promises('refuses the batches of a process whose settings were changed meanwhile', async ({ open }) => {
    const store = await open()
    await record(store, [view(NOON)])
    const changed = await open({ bots: 'exclude' })
    await changed.rebuild(ADOPT)
    await changed.checkSettings()
    await assert.rejects(record(store, [view(NOON)]), StoreRefused)
    await assert.rejects(store.checkSettings(), StoreRefused)
    await record(changed, [view(NOON)])
    assert.equal((await changed.siteTotals()).views, 2)
  })

  for (const settings of ADOPTED) {
    promises(`counts under ${named(settings)} all that was counted before`, async ({ open }) => {
      await record(await open(), VIEWS)
      const store = await open(settings)
      assert.equal((await store.rebuild(ADOPT)).firstDay, null)
      await assertCounts(store, VIEWS)
      await assertVerified(store)

      // Every reader is known under the new settings too, and so is every view.
      await record(
        store,
        VIEWS.map(view => ({ ...view, eventId: null })),
      )
      await record(
        store,
        VIEWS.filter(view => view.eventId !== null),
      )
      await assertCounts(store, [...VIEWS, ...VIEWS])
      await assertVerified(store)
      assert.equal((await store.rebuild(ADOPT)).fixed, 0)
      await assertCounts(store, [...VIEWS, ...VIEWS])
    })

    promises(`counts under ${named(settings)} also what is on closed days`, async ({ open }) => {
      const before = await open()
      await record(before, VIEWS)
      await before.prune(closedUntil('2026-03-30'))
      const store = await open(settings)
      assert.equal((await store.rebuild(ADOPT)).firstDay, null)
      await assertCounts(store, VIEWS)
      await assertVerified(store)
    })

    promises(`counts under ${named(settings)} while a consumer of those begins`, async ({ open }) => {
      await record(await open(), VIEWS)
      const [store, consumer] = [await open(settings), await open(settings)]
      // In the order they happened, as in a queue: a batch of all days is several batches on some engines.
      const later = randomViews(randomOf(7), 200).toSorted((one, other) => one.viewedAt - other.viewedAt)
      const consuming = (async () => {
        for (let from = 0; from < later.length; from += 10) {
          await untilAdopted(() => record(consumer, later.slice(from, from + 10)))
        }
      })()
      await untilAvailable(() => store.rebuild(ADOPT))
      await consuming
      await assertVerified(store)
      await assertCounts(store, [...VIEWS, ...later])
    })
  }

  promises(
    'records networks in a new database where nobody says what tells readers apart',
    async ({ open }) => {
      const store = await open({ uniqueBy: null })
      assert.equal(store.settings.uniqueBy, 'network')
      await (await open({ uniqueBy: 'network' })).checkSettings()
      const other = await open({ uniqueBy: 'ip' })
      const differs = /UNIQUE_BY is ip, but the database records network/
      await assert.rejects(other.checkSettings(), { constructor: StoreRefused, message: differs })
      await record(store, OF_ONE_NETWORK)
      assert.equal((await store.siteTotals()).unique_views, 1)
      await assertVerified(store)
    },
  )

  promises(
    'counts on by what is recorded where nobody says what tells readers apart',
    async ({ open, openAsIs }) => {
      await record(await open({ uniqueBy: 'ip+user_agent' }), OF_ONE_NETWORK)
      const [consumer, rebuilder, adopter] = [
        await openAsIs({ uniqueBy: null }),
        await openAsIs({ uniqueBy: null }),
        await openAsIs({ uniqueBy: null }),
      ]
      await consumer.checkSettings()
      assert.equal(consumer.settings.uniqueBy, 'ip+user_agent')
      await record(consumer, [view(NOON, { ip: '2001:db8::1', userAgent: SAFARI })])
      assert.equal((await consumer.siteTotals()).unique_views, 3)
      await assertVerified(consumer)
      assert.equal((await rebuilder.rebuild(KEEP)).fixed, 0)
      assert.equal((await adopter.rebuild(ADOPT)).fixed, 0)
      // Nothing was replaced, so nobody is refused.
      await record(consumer, [view(NOON, { ip: '2001:db8::1' })])
      assert.equal((await consumer.siteTotals()).unique_views, 3)
    },
  )

  promises(
    'applies networks to addresses, and stops who learned what was before',
    async ({ open, openAsIs }) => {
      const before = await open({ uniqueBy: 'ip' })
      await record(before, OF_ONE_NETWORK)
      const learned = await openAsIs({ uniqueBy: null })
      await learned.checkSettings()
      const batch = received(OF_ONE_NETWORK)
      await (await openAsIs({ uniqueBy: 'network' })).rebuild(ADOPT)
      await assert.rejects(learned.recordViews(batch), StoreRefused)
      await assert.rejects(learned.recordViews(batch), StoreRefused)

      // Started again, it has learned of it.
      await learned.checkSettings()
      await record(learned, [view(NOON, { ip: '2001:db8::3' })])
      assert.deepEqual((await learned.siteTotals()).unique_views, 1)
      await assertVerified(learned)
    },
  )

  promises('goes back to the settings of before', async ({ open }) => {
    const store = await open()
    await record(store, VIEWS)
    const before = await everythingIn(store, QUESTION)
    await (await open(ALL_OTHER)).rebuild(ADOPT)
    await store.rebuild(ADOPT)
    assert.deepEqual(await everythingIn(store, QUESTION), before)
    await assertVerified(store)
  })

  const withoutAddresses: Partial<CountingSettings>[] = [
    { uniqueBy: 'ip+user_agent' },
    { timeZone: 'Europe/Warsaw' },
    { timeZone: 'America/Los_Angeles' },
    { uniqueBy: 'ip+user_agent', timeZone: 'Asia/Kathmandu', windowHours: 6 },
  ]
  for (const settings of withoutAddresses) {
    promises(`applies ${named(settings)} from the first day with all addresses on`, async ({ open }) => {
      const before = await open()
      const firstDay = '2026-03-30'
      const since = unix(`${firstDay}T00:00:00Z`)
      await recordPart(await open({}, NAMELESS), view => view.viewedAt < since)
      await recordPart(before, view => view.viewedAt >= since)
      const past = ['2026-03-01', '2026-03-29'] as const
      const [pastDays, pastPosts] = [
        await before.siteDays(...past),
        await before.postDays(QUESTION.posts, ...past),
      ]

      const store = await open(settings)
      assert.equal((await store.rebuild(ADOPT)).firstDay, firstDay)
      assert.deepEqual(await store.siteDays(...past), pastDays)
      assert.deepEqual(await store.postDays(QUESTION.posts, ...past), pastPosts)
      assert.equal((await store.siteTotals()).views, VIEWS.length)
      await assertVerified(store)

      // From the day after on, whose views are all of the new settings' making in every zone.
      const rest = { ...QUESTION, from: '2026-03-31' }
      const expected = recount(VIEWS, store.settings, rest)
      assert.deepEqual(await store.siteDays(rest.from, rest.to), expected.siteDays)

      await record(
        store,
        VIEWS.map(view => ({ ...view, eventId: null })),
      )
      assert.equal((await store.siteTotals()).views, 2 * VIEWS.length)
      await assertVerified(store)
      assert.equal((await store.rebuild(KEEP)).fixed, 0)
    })
  }

  promises('applies what needs addresses to no day where none are kept, and harms none', async ({ open }) => {
    const before = await open({}, NAMELESS)
    await record(before, VIEWS)
    const answers = await everythingIn(before, QUESTION)
    const store = await open({ uniqueBy: 'ip+user_agent', timeZone: 'Asia/Kathmandu' }, NAMELESS)
    const { firstDay } = await store.rebuild(ADOPT)
    assert.equal(firstDay, '2026-04-01')
    assert.deepEqual(await everythingIn(store, QUESTION), answers)
    await assertVerified(store)

    const readers = [view('2026-04-02T12:00:00Z'), view('2026-04-02T12:00:00Z', { userAgent: SAFARI })]
    await record(store, [...VIEWS.map(view => ({ ...view, eventId: null })), ...readers])
    const [day] = await store.siteDays('2026-04-02', '2026-04-02')
    assert.deepEqual([day?.views, day?.unique_views], [2, 2])
    assert.equal((await store.siteTotals()).views, 2 * VIEWS.length + 2)
    await assertVerified(store)
  })

  promises('applies what needs no address to every day, addresses or none', async ({ open }) => {
    await record(await open({}, NAMELESS), VIEWS)
    const store = await open({ windowHours: 6, bots: 'exclude' })
    assert.equal((await store.rebuild(ADOPT)).firstDay, null)
    await assertCounts(store, VIEWS)
    await assertVerified(store)
  })

  promises('applies settings to no day whose raw rows are gone', async ({ open }) => {
    const before = await open()
    await record(before, VIEWS)
    const retention = { rawRetentionDays: 90, maxAgeSeconds: 30 * 86_400 }
    await before.prune({ now: unix('2026-03-29T00:00:00Z') + 90 * 86_400, ...retention })
    const past = ['2026-03-01', '2026-03-28'] as const
    const pastDays = await before.siteDays(...past)
    const store = await open({ ...ALL_OTHER, timeZone: 'UTC' })
    assert.equal((await store.rebuild(ADOPT)).firstDay, '2026-03-29')
    assert.deepEqual(await store.siteDays(...past), pastDays)
    const rest = { ...QUESTION, from: '2026-03-29' }
    assert.deepEqual(await store.siteDays(rest.from, rest.to), recount(VIEWS, store.settings, rest).siteDays)
    await assertVerified(store)
  })

  for (const [bots, others] of [
    ['count', 'exclude'],
    ['exclude', 'count'],
  ] as const) {
    promises(
      `tells people from bots by what BOTS was when rows that are gone were counted (${bots}, then ${others})`,
      async ({ open }) => {
        const before = await open({ bots })
        await record(before, VIEWS)
        const now = unix('2026-03-29T00:00:00Z') + 90 * 86_400
        await before.prune({ now, rawRetentionDays: 90, maxAgeSeconds: 30 * 86_400 })
        const gone = ['2026-03-01', '2026-03-28'] as const
        const counted = await before.siteDays(...gone)
        const figures = await figuresByWho(before)
        assert.deepEqual(figures, recount(VIEWS, before.settings, QUESTION).chosen.map(withoutTimes))
        const values = await devicesOf(before)

        const store = await open({ bots: others })
        await store.rebuild(ADOPT)
        await assertVerified(store)
        assert.deepEqual(await store.siteDays(...gone), counted)
        assert.deepEqual(await figuresByWho(store), figures)
        const sign = others === 'exclude' ? -1 : 1
        assert.deepEqual(
          await devicesOf(store),
          values.map(({ of, views, bots }) => ({ of, views: views + sign * bots!, bots })),
        )
        // The first and the last view of the days that are gone may have been those of others.
        assert.equal((await store.siteTotals('people')).first_viewed_at, null)
        assert.equal((await store.siteTotals('all')).last_viewed_at, null)

        // A view that comes late is counted as its day was.
        const readers = [{ loggedIn: true, userAgent: GOOGLEBOT }, { userAgent: GOOGLEBOT }, {}]
        const late = [gone[1], '2026-03-30'].flatMap(day =>
          readers.map(reader => view(`${day}T12:00:00Z`, { ...reader, ip: '192.0.2.77' })),
        )
        await record(store, late, { receivedAt: now })
        await store.reopenDays()
        await assertVerified(store)
        const withLate = await figuresByWho(store)
        assert.deepEqual(
          withLate,
          recount([...VIEWS, ...late], store.settings, QUESTION).chosen.map(withoutTimes),
        )

        const back = await open({ bots })
        await back.rebuild(ADOPT)
        await assertVerified(back)
        assert.deepEqual(await figuresByWho(back), withLate)
        assert.notEqual((await back.siteTotals(bots === 'exclude' ? 'people' : 'all')).first_viewed_at, null)
      },
    )
  }

  for (const timeZone of ['America/Los_Angeles', 'Asia/Tokyo']) {
    promises(`loses no view at the edge of days whose raw rows are gone (${timeZone})`, async ({ open }) => {
      const before = await open()
      await record(before, VIEWS)
      const retention = { rawRetentionDays: 90, maxAgeSeconds: 30 * 86_400 }
      await before.prune({ now: unix('2026-03-29T00:00:00Z') + 90 * 86_400, ...retention })
      const past = ['2026-03-01', '2026-03-28'] as const
      const pastDays = await before.siteDays(...past)
      const store = await open({ timeZone })
      assert.equal((await store.rebuild(ADOPT)).firstDay, '2026-03-29')
      assert.deepEqual(await store.siteDays(...past), pastDays)
      assert.equal((await store.siteTotals()).views, VIEWS.length)
      await assertVerified(store)
    })
  }

  promises('applies settings to every day, whichever it was asked for', async ({ open }) => {
    await record(await open(), VIEWS)
    const store = await open(ALL_OTHER)
    await store.rebuild({ ...ADOPT, from: '2026-03-30', to: '2026-03-30' })
    await assertCounts(store, VIEWS)
    await assertVerified(store)
  })

  promises('knows the readers of a day that only the new zone has', async ({ open }) => {
    await record(await open(), [view('2026-03-10T03:00:00Z')])
    const store = await open({ timeZone: 'America/Los_Angeles' })
    await store.rebuild(ADOPT)
    await record(store, [view('2026-03-10T04:00:00Z'), view('2026-03-10T04:00:00Z', { userAgent: SAFARI })])
    const [day] = await store.siteDays('2026-03-09', '2026-03-10')
    assert.deepEqual([day?.date, day?.views, day?.unique_views], ['2026-03-09', 3, 1])
    await assertVerified(store)
  })

  promises(
    'says whether it can take a batch, and changes nothing by it',
    async ({ open, openAsIs, another }) => {
      const store = await open()
      await record(store, [view(NOON)])
      const before = await store.progress()
      await store.ping()
      assert.deepEqual(await store.progress(), before)
      assert.equal((await store.postTotals([POST]))[0]?.views, 1)
      await assert.rejects((await (await another()).openAsIs()).ping(), StoreUnavailable)
      await (await openAsIs()).ping()
    },
  )

  promises(
    'keeps what it was given before it was closed, and is unavailable from then on',
    async ({ openAsIs }) => {
      const store = await openAsIs()
      await store.migrate()
      await record(store, [view(NOON)])
      const rows = received([view(NOON), view(NOON)])
      const last = store.recordViews(rows)
      await store.close()
      assert.deepEqual(await last, outcomeOf(store, 2, 0))
      await assert.rejects(store.recordViews(rows), StoreUnavailable)
      await assert.rejects(store.siteTotals(), StoreUnavailable)
      await assert.rejects(store.ping(), StoreUnavailable)
      await store.close()
      assert.equal((await (await openAsIs()).siteTotals()).views, 3)
    },
  )
}

function named(settings: Partial<CountingSettings>): string {
  return Object.values(settings).join(', ')
}

async function recordPart(store: Store, part: (view: View) => boolean): Promise<void> {
  await record(store, VIEWS.filter(part))
}

/** Until somebody else has brought the database to these settings. */
function untilAdopted<T>(work: () => Promise<T>): Promise<T> {
  return untilAvailable(() =>
    work().catch(error => {
      throw error instanceof StoreRefused ? new StoreUnavailable('not adopted yet', { cause: error }) : error
    }),
  )
}

async function assertCounts(store: Store, views: readonly View[]): Promise<void> {
  // Minutes are a glance at the last hours, and not counted anew.
  assert.deepEqual(
    { ...(await everythingIn(store, QUESTION)), minutes: [] },
    { ...recount(views, store.settings, QUESTION), minutes: [] },
  )
}

/** Retention at a moment when the days before that one are closed, and no raw rows gone. */
function closedUntil(day: string) {
  return { now: unix(`${day}T00:00:00Z`) + 31 * 86_400, rawRetentionDays: 0, maxAgeSeconds: 30 * 86_400 }
}

/** Totals and days of people, bots and all. */
async function figuresByWho(store: Store): Promise<unknown[]> {
  return (await everythingIn(store, QUESTION)).chosen.map(withoutTimes)
}

function withoutTimes(chosen: unknown): unknown {
  return JSON.parse(JSON.stringify(chosen, (name, value) => (name.endsWith('_viewed_at') ? null : value)))
}

/** The views of each device and of each day, as the site and a post have them. */
async function devicesOf(store: Store): Promise<(Views & { of: string })[]> {
  const { from, to, posts } = QUESTION
  const reads = await Promise.all(
    [null, posts[0]!].map(post => store.breakdown('device', post, from, to, 'people')),
  )
  const found = reads.flatMap(({ values, days }, nth) => [
    ...[...values].map(([value, views]) => ({ of: `${nth} ${value}`, ...views })),
    ...days.map(({ date, all }) => ({ of: `${nth} ${date}`, ...all })),
  ])
  return found.sort((a, b) => (a.of < b.of ? -1 : 1))
}
