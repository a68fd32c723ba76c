/** The contract, on rows that are derived again: by the lists of this version, from what they still keep of their readers. */

import assert from 'node:assert/strict'
import { DIMENSION_NAMES, type DimensionName } from '@postviews/client/src/figures.ts'
import type { View } from '@postviews/client/src/index.ts'
import { ownHostsOf } from '../packages/analytics/src/store/own-hosts.ts'
import type { BreakdownOfPeriod, Store } from '../packages/analytics/src/store/store.ts'
import { LISTED_DIMENSIONS } from '../packages/analytics/src/store/who-again.ts'
import { assertVerified, type ContractEngine, type Promises } from './store-contract-database.ts'
import { interruptedAtEachStep } from './store-contract-ending.ts'
import { everythingIn } from './store-contract-recount.ts'
import { GPTBOT, OPTIONS, openWithHosts, SAFARI_ON_PHONE, VIEWS, valuesOf } from './store-contract-who.ts'
import type { Damage } from './support/damage.ts'
import { OTHER_POST, POST, record, unix, untilAvailable, view } from './support/views.ts'

const DAY = '2026-03-10'
const NOON = `${DAY}T12:00:00Z`
const NEXT_DAY = '2026-03-11'
const KEEP = { adoptSettings: false } as const
const DERIVE = { ...KEEP, derive: LISTED_DIMENSIONS }
const LONG_AFTER = { now: unix(NOON) + 200 * 86_400, rawRetentionDays: 90, maxAgeSeconds: 30 * 86_400 }

/** Views that keep all that a list looks at: enough of one post to be packed at once, and some of another. */
const KNOWN = [
  ...Array.from({ length: 6 }, () => from('https://www.google.com/', { ip: '8.8.8.8' })),
  from('https://www.google.com/', { ip: '2a02:a31f::1', userAgent: GPTBOT }),
  from('https://blog.example/', { userAgent: SAFARI_ON_PHONE }),
  from('https://some.example/', { url: '/p?utm_source=Weekly&utm_medium=email&utm_campaign=March+Sale' }),
  from('android-app://org.example.unlisted/', { postUuid: OTHER_POST }),
  from('https://www.google.com/', { postUuid: OTHER_POST, userAgent: GPTBOT }),
]

function from(referer: string, fields: Partial<View> = {}): View {
  return view(NOON, { referer, ...fields })
}

/** What lists of long ago said: everybody was a person on Windows, who came from the same place. */
const SAID_BEFORE = {
  agent: '0\tdesktop\tChrome\tWindows\t\t',
  bot: false,
  origin: '0\tother\tNobody\t',
  country: '2020-01-01\tFR',
}

function saidBefore(post?: string): Damage {
  return { kind: 'rows tampered', says: SAID_BEFORE, ...(post && { post }) }
}

export function deriveContract(promises: Promises, { countsByRows = false }: ContractEngine): void {
  for (const bots of ['count', 'exclude'] as const) {
    promises(
      `applies this version's lists to the rows of another, and every number follows (BOTS=${bots})`,
      async ({ open, damage }) => {
        const store = await openWithHosts(open, { bots })
        await record(store, KNOWN)
        const before = await allOf(store)
        await damage(saidBefore())
        await store.rebuild(KEEP)
        await assertVerified(store)
        assert.deepEqual(await valuesOf(store, 'browser', POST), { Chrome: 9 })
        assert.deepEqual([(await store.siteTotals()).views, (await store.siteTotals()).bots], [11, 0])

        assert.equal((await store.rebuild(DERIVE)).derived, KNOWN.length)
        await assertVerified(store)
        assert.deepEqual(await allOf(store), before)
        const again = await store.rebuild(DERIVE)
        assert.deepEqual([again.derived, again.fixed], [0, 0])
      },
    )
  }

  promises('derives the whole text of a dimension, and no other', async ({ open, damage }) => {
    const store = await openWithHosts(open)
    await record(store, KNOWN)
    await damage(saidBefore())
    await store.rebuild({ ...KEEP, derive: ['browser'] })
    await assertVerified(store)
    assert.deepEqual(await valuesOf(store, 'bot', POST), { GPTBot: 1 })
    assert.equal((await store.siteTotals()).bots, 2)
    assert.deepEqual(await valuesOf(store, 'source', POST), { Nobody: 9 })
    assert.deepEqual(await valuesOf(store, 'country', POST), { FR: 9 })
    await store.rebuild({ ...KEEP, derive: ['campaign', 'country'] })
    await assertVerified(store)
    assert.deepEqual(await valuesOf(store, 'source', POST), { Google: 7, '': 1, weekly: 1 })
    assert.deepEqual(await valuesOf(store, 'country', POST), { US: 6, PL: 1, '': 2 })
  })

  promises('derives the days that it is asked for, and leaves the others', async ({ open, damage }) => {
    const store = await openWithHosts(open)
    await record(store, [view(NOON), view(`${NEXT_DAY}T12:00:00Z`)])
    await damage(saidBefore())
    await store.rebuild({ ...DERIVE, from: NEXT_DAY })
    assert.deepEqual(await valuesOf(store, 'browser', null, NEXT_DAY), { Firefox: 1 })
    await store.rebuild(KEEP)
    await assertVerified(store)
    assert.deepEqual(await valuesOf(store, 'browser', null, DAY), { Chrome: 1 })
    assert.equal((await store.rebuild(DERIVE)).derived, 1)
  })

  promises('notes another version where the values are the same', async ({ open, damage }) => {
    const store = await openWithHosts(open)
    await record(store, [view(NOON), view(NOON)])
    await damage({ kind: 'rows tampered', says: { agent: '0\tdesktop\tFirefox\tLinux\t\t' } })
    const { fixed, derived } = await store.rebuild(DERIVE)
    assert.deepEqual([fixed, derived], [0, 2])
    assert.equal((await store.rebuild(DERIVE)).derived, 0)
  })

  promises('keeps what was derived from what is gone', async ({ open, damage }) => {
    const store = await openWithHosts(open)
    const reader = { userId: '7', ip: '8.8.8.8', referer: 'https://www.google.com/' }
    await record(store, [
      view(NOON, { ...reader, userAgent: GPTBOT, url: '/?utm_campaign=told' }),
      view(NOON),
    ])
    await damage({ kind: 'rows tampered', says: { ...SAID_BEFORE, origin: '0\tsearch\tNobody\ttold' } })
    await damage({
      kind: 'rows tampered',
      referer: reader.referer,
      says: { agent: '0\t\t\t\tOldBot\tseo', bot: true },
    })
    await store.rebuild(KEEP)
    assert.equal(await store.forget({ userId: '7' }), 1)
    await store.rebuild(DERIVE)
    await assertVerified(store)
    assert.equal((await store.siteTotals()).bots, 1)
    assert.deepEqual(await valuesOf(store, 'bot', POST), { OldBot: 1 })
    assert.deepEqual(await valuesOf(store, 'browser', POST), { '': 1, Firefox: 1 })
    // The other row never had a referer or a utm text: there is nothing to derive its origin from.
    assert.deepEqual(await valuesOf(store, 'campaign', POST), { told: 2 })
    assert.deepEqual(await valuesOf(store, 'country', POST), { FR: 1, '': 1 })
  })

  promises('keeps the country of an address that was never kept', async ({ open }) => {
    const store = await open({}, { ...OPTIONS, ipStorage: 'none' })
    await record(store, [view(NOON, { ip: '8.8.8.8' })])
    assert.equal((await store.rebuild(DERIVE)).derived, 0)
    assert.deepEqual(await valuesOf(store, 'country', POST), { US: 1 })
  })

  promises('makes days known that were kept before their values were', async ({ open, damage }) => {
    const store = await openWithHosts(open)
    await record(store, VIEWS)
    const before = await allOf(store)
    for (const post of [POST, OTHER_POST]) await damage({ kind: 'rows from before', post })
    await store.rebuild(KEEP)
    await store.rebuild(DERIVE)
    await assertVerified(store)
    const now = await allOf(store)
    assert.deepEqual(now.figures, before.figures)
    for (const name of DIMENSION_NAMES) {
      // The utm texts are not among what rows of that time keep.
      if (name === 'source' || name === 'channel' || name === 'campaign') continue
      assert.deepEqual(now.breakdowns[name], before.breakdowns[name], name)
    }
    assert.deepEqual(await valuesOf(store, 'source', POST), { Google: 6, '': 4 })
    assert.deepEqual(await valuesOf(store, 'channel', POST), { search: 6, direct: 3, internal: 1 })
    assert.deepEqual(await valuesOf(store, 'campaign', POST), { '': 10 })
  })

  promises(
    'leaves a forgotten reader of before unknown, and not without a device',
    async ({ open, damage }) => {
      const store = await openWithHosts(open)
      const FORGOTTEN = { userId: '7', ip: '8.8.8.8', referer: 'https://www.google.com/' }
      await record(store, [
        view(NOON, FORGOTTEN),
        view(NOON, { ...FORGOTTEN, userAgent: GPTBOT }),
        view(NOON, { ip: '8.8.8.8', userAgent: null }),
        view(NOON, { ip: null, userAgent: SAFARI_ON_PHONE, referer: 'https://www.google.com/' }),
      ])
      await damage({ kind: 'rows from before', post: POST })
      await store.rebuild(KEEP)
      await store.forget({ userId: '7' })
      await store.rebuild(DERIVE)
      await assertVerified(store)
      assert.deepEqual(await valuesOf(store, 'device', POST), { '': 1, phone: 1 })
      assert.deepEqual(await valuesOf(store, 'bot', POST), {})
      assert.deepEqual(await valuesOf(store, 'channel', POST), { direct: 1, search: 1 })
      assert.deepEqual(await valuesOf(store, 'country', POST), { US: 1, '': 1 })
      assert.deepEqual(await valuesOf(store, 'hour', POST), { 12: 4 })
      const { days } = await store.breakdown('device', POST, DAY, DAY)
      assert.deepEqual(days, [{ date: DAY, all: { views: 4, bots: 1 }, known: { views: 2, bots: 0 } }])
    },
  )

  // Elsewhere, whatever rows there are count.
  if (!countsByRows) {
    promises('knows all of a row that another program inserted, once it counts', async ({ open, damage }) => {
      const store = await openWithHosts(open)
      await record(
        store,
        KNOWN.filter(({ url }) => url === null),
      )
      const before = await allOf(store)
      await damage({ kind: 'rows uncounted', instead: true })
      await store.rebuild(KEEP)
      await assertVerified(store)
      const now = await allOf(store)
      assert.deepEqual(now.breakdowns, before.breakdowns)
    })
  }

  promises('applies the own hosts that are recorded now', async ({ open }) => {
    const store = await openWithHosts(open)
    await record(store, [from('https://blog.example/'), from('https://other.example/')])
    await store.migrate(undefined, { ownHosts: ownHostsOf('other.example'), goesBack: false })
    await store.rebuild({ ...KEEP, derive: ['channel'] })
    await assertVerified(store)
    assert.deepEqual(await valuesOf(store, 'source', POST), { 'blog.example': 1, '': 1 })
  })

  promises('derives no countries where they are switched off', async ({ open }) => {
    const known = await open({}, OPTIONS)
    await record(known, [view(NOON, { ip: '8.8.8.8' })])
    const store = await open()
    await assert.rejects(store.rebuild(DERIVE), { name: 'StoreRefused', message: /GEOIP_DB=none/ })
    await store.rebuild({ ...KEEP, derive: ['bot'] })
    assert.deepEqual(await valuesOf(store, 'country', POST), { US: 1 })
  })

  promises('may be interrupted at each step, and the next run goes on', async ({ open, damage }) => {
    const store = await openWithHosts(open)
    const days = Array.from({ length: 3 }, (_, n) => `2026-03-1${n}`)
    for (const day of days) {
      for (const [n, known] of KNOWN.entries())
        await record(store, [{ ...known, eventId: null, viewedAt: unix(`${day}T12:00:00Z`) + n }])
    }
    const figures = () => everythingIn(store, { posts: [POST, OTHER_POST], from: days[0]!, to: days.at(-1)! })
    const before = await figures()
    await damage(saidBefore())
    await store.rebuild(KEEP)
    await interruptedAtEachStep(progress => store.rebuild(DERIVE, progress))
    await assertVerified(store)
    assert.deepEqual(await figures(), before)
    for (const day of days)
      assert.deepEqual(await valuesOf(store, 'source', POST, day), { Google: 7, '': 1, weekly: 1 })
  })

  promises(
    'leaves numbers that add up where it is interrupted, and the rows are removed then',
    async ({ open, damage }) => {
      const store = await openWithHosts(open)
      await record(store, KNOWN)
      const told = await allOf(store)
      await damage(saidBefore())
      await store.rebuild(KEEP)
      const before = await allOf(store)
      // The rows of a day are derived before it is counted.
      const derivation = countsByRows ? 'lists' : 'days'
      await assert.rejects(
        store.rebuild(DERIVE, step => {
          if (step === derivation) throw new Error('interrupted')
        }),
        { message: 'interrupted' },
      )
      await store.prune(LONG_AFTER)
      await assertVerified(store)
      assert.deepEqual(await allOf(store), countsByRows ? told : before)
    },
  )

  promises('counts exactly what consumers record meanwhile', async ({ open, damage }) => {
    const store = await openWithHosts(open, { bots: 'exclude' })
    const other = await openWithHosts(open, { bots: 'exclude' })
    const some = (n: number) => [
      from('https://www.google.com/', { ip: `10.0.0.${n % 250}` }),
      from('https://www.google.com/', { ip: `10.0.1.${n % 250}`, userAgent: GPTBOT }),
      from('https://www.google.com/', {
        ip: `10.0.2.${n % 250}`,
        postUuid: `post-${n % 40}`,
        userAgent: GPTBOT,
      }),
    ]
    let batches = 500
    await record(store, Array.from({ length: batches }, (_, n) => some(n)).flat())
    await damage(saidBefore())
    await store.rebuild(KEEP)
    assert.deepEqual([(await store.siteTotals()).views, (await store.siteTotals()).bots], [1_500, 0])

    let isDone = false
    const rebuilt = store.rebuild(DERIVE).finally(() => {
      isDone = true
    })
    while (!isDone) await untilAvailable(() => record(other, some(batches++)))
    await rebuilt
    await assertVerified(store)
    const { views, bots, unique_views } = await store.siteTotals()
    assert.deepEqual({ views, bots, unique_views }, { views: batches, bots: 2 * batches, unique_views: 250 })
    assert.deepEqual(await valuesOf(store, 'browser', POST), { Firefox: batches, '': 0 })
  })

  promises('counts readers again on a day that is being opened again', async ({ open, damage }) => {
    const store = await openWithHosts(open, { bots: 'exclude' })
    const BOTS = 1_500
    const fields = (n: number) => ({ ip: `10.1.${n >> 8}.${n & 255}`, userAgent: GPTBOT })
    await record(store, [...Array.from({ length: BOTS }, (_, n) => view(NOON, fields(n))), view(NOON)])
    await damage(saidBefore())
    await store.rebuild(KEEP)
    await store.prune({ ...LONG_AFTER, rawRetentionDays: 0 })
    assert.equal((await store.siteTotals()).unique_views, BOTS + 1)

    await record(store, [view(NOON), view(NOON, { ip: '192.0.2.2' })])
    await store.rebuild({ ...KEEP, derive: ['bot'] })
    await store.reopenDays()
    await assertVerified(store)
    const { views, unique_views, bots } = await store.siteTotals()
    assert.deepEqual({ views, unique_views, bots }, { views: 3, unique_views: 2, bots: BOTS })
  })
}

interface All {
  figures: unknown
  breakdowns: Record<DimensionName, BreakdownOfPeriod[]>
}

/** The figures and breakdowns of the day, for both posts and the site. */
async function allOf(store: Store): Promise<All> {
  const { minutes: _, ...figures } = await everythingIn(store, {
    posts: [POST, OTHER_POST],
    from: DAY,
    to: DAY,
  })
  const ofEach = await Promise.all(
    DIMENSION_NAMES.map(async name => {
      const places = [POST, OTHER_POST, null].map(post => store.breakdown(name, post, DAY, DAY))
      return [name, await Promise.all(places)] as const
    }),
  )
  return { figures, breakdowns: Object.fromEntries(ofEach) as All['breakdowns'] }
}
