/** The contract, sixth part: the zone rules that days are counted by, and processes that have others. */

import assert from 'node:assert/strict'
import { mock } from 'node:test'
import type { View } from '@postviews/client/src/index.ts'
import { StoreRefused } from '../packages/analytics/src/store/failures.ts'
import type { Store } from '../packages/analytics/src/store/store.ts'
import { NEWEST_RULES } from '../packages/analytics/src/store/zone-rules.ts'
import { assertVerified, type Promises } from './store-contract-database.ts'
import { questionOf, randomOf, randomViews } from './store-contract-random.ts'
import { everythingIn } from './store-contract-recount.ts'
import { outcomeOf, record, unix, view } from './support/views.ts'
import { RULES_2026C, rulesAs, SET_BACK_AT, WINNIPEG, winnipegBeforeTheLaw } from './support/zone-rules.ts'

const IN_WINNIPEG = { timeZone: WINNIPEG } as const
const ADOPT = { adoptSettings: true } as const
const KEEP = { adoptSettings: false } as const

/** Half past midnight by the law: an hour earlier, on the day before, by the rules of 2026c. */
const AFTER_MIDNIGHT = '2026-11-15T05:30:00Z'
/** Before the clocks of the two differ. */
const IN_SUMMER = '2026-07-15T12:00:00Z'

const VIEWS = movedBy(
  randomViews(randomOf(8), 250),
  unix('2026-10-31T00:00:00Z') - unix('2026-03-28T00:00:00Z'),
)
const QUESTION = { ...questionOf(VIEWS), from: '2026-10-28', to: '2026-11-06' }

export function zoneRulesContract(promises: Promises): void {
  promises('cuts days by the newest rules, whatever Node has', async ({ open }) => {
    const store = await open(IN_WINNIPEG)
    await record(store, [view(AFTER_MIDNIGHT), view('2026-11-15T04:59:59Z')])
    const days = await store.siteDays('2026-11-13', '2026-11-16')
    assert.deepEqual(
      days.map(({ date, views }) => [date, views]),
      [
        ['2026-11-14', 1],
        ['2026-11-15', 1],
      ],
    )
    await assertVerified(store)
  })

  promises('refuses newer rules that differ on days that are kept, and names both', async database => {
    const { open, openAsIs } = database
    const older = await open(IN_WINNIPEG, { rules: RULES_2026C })
    await record(older, [view(IN_SUMMER), view(AFTER_MIDNIGHT)])
    const newer = await openAsIs(IN_WINNIPEG)
    const refused = {
      constructor: StoreRefused,
      message: new RegExp(`2026c.*${NEWEST_RULES.release}.*2026-11-01T07:00:00Z.*rebuild --adopt-settings`),
    }
    await assert.rejects(newer.migrate(), refused)
    await assert.rejects(newer.checkSettings(), refused)
    await assert.rejects(record(newer, [view(AFTER_MIDNIGHT)]), refused)
    await assert.rejects(newer.rebuild(KEEP), refused)
    // Nothing was replaced: the older one goes on.
    await older.checkSettings()
    assert.deepEqual(await record(older, [view(AFTER_MIDNIGHT)]), outcomeOf(older, 1, 0))
    assert.deepEqual(await viewsOn(older, '2026-11-14'), 2)
    await assertVerified(older)
  })

  for (const settings of [IN_WINNIPEG, { ...IN_WINNIPEG, windowHours: 6 }]) {
    const windows = 'windowHours' in settings ? ' and in windows' : ''
    promises(`counts by newer rules once they are adopted, on every day${windows}`, async database => {
      const { open, openAsIs, another } = database
      const older = await open(settings, { rules: RULES_2026C })
      await record(older, VIEWS)
      const newer = await openAsIs(settings)
      assert.equal((await newer.rebuild(ADOPT)).firstDay, null)
      const fresh = await (await another()).open(settings)
      await record(fresh, VIEWS)
      await assertSame(newer, fresh)
      await assertVerified(newer)
      assert.equal((await newer.rebuild(KEEP)).fixed, 0)

      // Whoever has the older rules stops before its next batch, and never comes back with them.
      const isOlder = { constructor: StoreRefused, message: /2026c.*use a newer version of postviews/ }
      await assert.rejects(record(older, VIEWS), isOlder)
      await assert.rejects(older.checkSettings(), isOlder)
      await assert.rejects(older.migrate(), isOlder)
      await assert.rejects(older.rebuild(KEEP), isOlder)
      await assert.rejects(older.rebuild(ADOPT), isOlder)

      await newer.migrate()
      await newer.checkSettings()
      await record(
        newer,
        VIEWS.filter(({ eventId }) => eventId !== null),
      )
      await record(newer, withoutIds(VIEWS))
      await record(fresh, withoutIds(VIEWS))
      await assertSame(newer, fresh)
      await assertVerified(newer)
    })
  }

  promises('applies newer rules to no day whose raw rows are gone', async ({ open, openAsIs }) => {
    const older = await open(IN_WINNIPEG, { rules: RULES_2026C })
    await record(older, VIEWS)
    const retention = { rawRetentionDays: 90, maxAgeSeconds: 30 * 86_400 }
    await older.prune({ now: unix('2026-11-02T06:00:00Z') + 90 * 86_400, ...retention })
    const past = ['2026-10-01', '2026-11-01'] as const
    const pastDays = await older.siteDays(...past)
    const newer = await openAsIs(IN_WINNIPEG)
    assert.equal((await newer.rebuild(ADOPT)).firstDay, '2026-11-02')
    assert.deepEqual(await newer.siteDays(...past), pastDays)
    assert.equal((await newer.siteTotals()).views, VIEWS.length)
    await newer.checkSettings()
    await assertVerified(newer)
  })

  promises('applies newer rules to no day whose readers can not be told anew', async ({ open, openAsIs }) => {
    const older = await open(IN_WINNIPEG, { rules: RULES_2026C, ipStorage: 'none' })
    await record(older, VIEWS)
    const answers = await everythingIn(older, QUESTION)
    const newer = await openAsIs(IN_WINNIPEG)
    const lastDay = older.calendar.dayOf(Math.max(...VIEWS.map(({ viewedAt }) => viewedAt)))
    assert.ok((await newer.rebuild(ADOPT)).firstDay! > lastDay)
    assert.deepEqual(await everythingIn(newer, QUESTION), answers)
    await newer.checkSettings()
    await assertVerified(newer)
  })

  promises('takes newer rules that differ on no kept day, and ends older processes', async database => {
    const { open, openAsIs } = database
    const older = await open(IN_WINNIPEG, { rules: RULES_2026C })
    await record(older, [view(IN_SUMMER)])

    // A process that records nothing waits for one that does.
    const consumer = await openAsIs(IN_WINNIPEG)
    const waits = {
      constructor: StoreRefused,
      message: /2026c.*2026-11-01T07:00:00Z.*run `postviews migrate`/,
    }
    await assert.rejects(consumer.checkSettings(), waits)
    await assert.rejects(record(consumer, [view(IN_SUMMER)]), waits)
    await record(older, [view(IN_SUMMER)])

    const newer = await openAsIs(IN_WINNIPEG)
    const { replaced } = await newer.migrate()
    assert.equal(replaced.length, 1)
    assert.match(replaced[0]!, new RegExp(`2026c.*${NEWEST_RULES.release}.*${SET_BACK_AT}`))
    await assert.rejects(record(older, [view(AFTER_MIDNIGHT)]), {
      constructor: StoreRefused,
      message: /2026c.*use a newer version of postviews/,
    })
    assert.equal((await newer.siteTotals()).views, 2)

    await consumer.checkSettings()
    await record(consumer, [view(AFTER_MIDNIGHT)])
    await record(newer, [view(AFTER_MIDNIGHT)])
    assert.equal(await viewsOn(newer, '2026-11-15'), 2)
    assert.deepEqual((await newer.migrate()).replaced, [])
    await assertVerified(newer)
  })

  promises('refuses older rules from the start', async ({ open, openAsIs }) => {
    const newer = await open(IN_WINNIPEG)
    const older = await openAsIs(IN_WINNIPEG, { rules: RULES_2026C })
    const isOlder = {
      constructor: StoreRefused,
      message: new RegExp(`${NEWEST_RULES.release}.*2026c.*${SET_BACK_AT}.*use a newer version of postviews`),
    }
    for (const start of [() => older.migrate(), () => older.checkSettings(), () => older.rebuild(ADOPT)]) {
      await assert.rejects(start(), isOlder)
    }
    await assert.rejects(record(older, [view(AFTER_MIDNIGHT)]), isOlder)
    await record(newer, [view(AFTER_MIDNIGHT)])
    assert.equal(await viewsOn(newer, '2026-11-15'), 1)
  })

  promises(
    'lets a process of an older release run whose clocks agree, and keeps the newer',
    async ({ open, openAsIs, kept }) => {
      const newer = await open({ timeZone: 'Europe/Warsaw' })
      const older = await open({ timeZone: 'Europe/Warsaw' }, { rules: RULES_2026C })
      await record(older, [view(AFTER_MIDNIGHT)])
      await record(newer, [view(AFTER_MIDNIGHT)])
      assert.equal(await kept.rulesRelease(), NEWEST_RULES.release)
      // Another zone's days would be those of the older release.
      const elsewhere = await openAsIs(IN_WINNIPEG, { rules: RULES_2026C })
      await assert.rejects(elsewhere.rebuild(ADOPT), {
        constructor: StoreRefused,
        message: /use a newer version of postviews/,
      })
      await assertVerified(newer)
    },
  )

  promises('starts a year later on the same rules', async ({ open, openAsIs }) => {
    const now = Date.now()
    await record(await open(IN_WINNIPEG), [view(IN_SUMMER)])
    mock.timers.enable({ apis: ['Date'], now: now + 365 * 86_400_000 })
    try {
      const consumer = await openAsIs(IN_WINNIPEG)
      await consumer.checkSettings()
      await record(consumer, [view(IN_SUMMER)])
      const service = await openAsIs(IN_WINNIPEG)
      assert.deepEqual((await service.migrate()).replaced, [])
      // That the list reaches further now ends nobody.
      await record(consumer, [view(IN_SUMMER)])
      await record(service, [view(IN_SUMMER)])
      // What differs from where the list of a year ago ended is found out by the list of now.
      const changes = winnipegBeforeTheLaw().filter(({ from }) => from < unix(SET_BACK_AT))
      const later = rulesAs('2031a', WINNIPEG, [
        ...changes,
        { from: Math.floor(now / 1_000) + (2 * 366 + 100) * 86_400, offset: -6 * 3_600 },
      ])
      const { replaced } = await (await openAsIs(IN_WINNIPEG, { rules: later })).migrate()
      assert.equal(replaced.length, 1)
      await assert.rejects(record(service, [view(IN_SUMMER)]), StoreRefused)
    } finally {
      mock.timers.reset()
    }
  })

  promises('takes the rules of one of several processes that come at once', async ({ openAsIs }) => {
    const stores = await Promise.all(
      [RULES_2026C, NEWEST_RULES, RULES_2026C, NEWEST_RULES].map(rules => openAsIs(IN_WINNIPEG, { rules })),
    )
    await Promise.all(
      stores.map(store =>
        store.migrate().catch(error => {
          if (!(error instanceof StoreRefused)) throw error
        }),
      ),
    )
    await (await openAsIs(IN_WINNIPEG)).checkSettings()
    const outcomes = await Promise.allSettled(stores.map(store => record(store, [view(AFTER_MIDNIGHT)])))
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['rejected', 'fulfilled', 'rejected', 'fulfilled'],
    )
    assert.equal(await viewsOn(stores[1]!, '2026-11-15'), 2)
    await assertVerified(stores[1]!)
  })
}

function movedBy(views: readonly View[], seconds: number): View[] {
  return views.map(view => {
    const viewedAt = view.viewedAt + seconds
    return { ...view, viewedAt, ownTime: viewedAt }
  })
}

function withoutIds(views: readonly View[]): View[] {
  return views.map(view => ({ ...view, eventId: null }))
}

async function viewsOn(store: Store, day: string): Promise<number> {
  return (await store.siteDays(day, day))[0]?.views ?? 0
}

async function assertSame(store: Store, expected: Store): Promise<void> {
  // Minutes are a glance at the last hours, and not counted anew.
  assert.deepEqual(
    { ...(await everythingIn(store, QUESTION)), minutes: [] },
    { ...(await everythingIn(expected, QUESTION)), minutes: [] },
  )
}
