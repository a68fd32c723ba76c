/** The contract, thirteenth part: who read it, from where, on what, and when. */

import assert from 'node:assert/strict'
import type { DimensionName } from '@postviews/client/src/figures.ts'
import { openCountries } from '../packages/analytics/src/derive/countries.ts'
import { ownHostsOf } from '../packages/analytics/src/store/own-hosts.ts'
import type { Store } from '../packages/analytics/src/store/store.ts'
import {
  assertVerified,
  type ContractEngine,
  differencesIn,
  type Promises,
} from './store-contract-database.ts'
import { OTHER_POST, outcomeOf, POST, record, unix, view } from './support/views.ts'

const DAY = '2026-03-10'
const NOON = `${DAY}T12:00:00Z`
const KEEP = { adoptSettings: false } as const
const SETTLING = { now: unix('2026-03-20T00:00:00Z'), rawRetentionDays: 0, maxAgeSeconds: 30 * 86_400 }
export const GPTBOT =
  'Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)'
export const SAFARI_ON_PHONE =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1'
export const OPTIONS = { countries: openCountries() }

/** Ten of a post, so that it is packed at once, and two of another, which is not. */
export const VIEWS = [
  ...Array.from({ length: 6 }, () => view(NOON, { referer: 'https://www.google.com/', ip: '8.8.8.8' })),
  view(NOON, { userAgent: GPTBOT, ip: '2a02:a31f::1' }),
  view(NOON, { userAgent: 'made up by nobody, crawler', ip: null }),
  view(`${DAY}T00:00:00Z`, { referer: 'https://blog.example/', userAgent: SAFARI_ON_PHONE }),
  view(`${DAY}T23:59:59Z`, { url: '/p?utm_source=Weekly&utm_medium=email&utm_campaign=March+Sale' }),
  view(NOON, { postUuid: OTHER_POST, referer: 'android-app://org.example.unlisted/', userAgent: null }),
  view(NOON, { postUuid: OTHER_POST, userAgent: GPTBOT }),
]

const OF_POST: Record<DimensionName, Record<string, number>> = {
  hour: { 12: 8, 0: 1, 23: 1 },
  referrer: { 'google.com': 6, '': 3, 'blog.example': 1 },
  source: { Google: 6, '': 3, weekly: 1 },
  channel: { search: 6, direct: 2, internal: 1, email: 1 },
  campaign: { '': 9, 'march sale': 1 },
  country: { US: 6, PL: 1, '': 3 },
  device: { desktop: 7, phone: 1, '': 2 },
  browser: { Firefox: 7, Safari: 1, '': 2 },
  os: { Linux: 7, iOS: 1, '': 2 },
  bot: { GPTBot: 1, unknown: 1 },
  purpose: { ai_training: 1, other: 1 },
}

const NAMES = Object.keys(OF_POST) as DimensionName[]

const OF_OTHER_POST: Partial<typeof OF_POST> = {
  source: { 'org.example.unlisted': 1, '': 1 },
  channel: { other: 1, direct: 1 },
  device: { '': 2 },
  bot: { GPTBot: 1 },
}

export function whoContract(promises: Promises, { countsByRows = false }: ContractEngine): void {
  promises('breaks views down by every dimension', async ({ open }) => {
    const store = await openWithHosts(open)
    await record(store, VIEWS)
    for (const name of NAMES) {
      assert.deepEqual(await valuesOf(store, name, POST), OF_POST[name], name)
      const sum = new Map(Object.entries(OF_POST[name]))
      for (const [value, views] of Object.entries(await valuesOf(store, name, OTHER_POST)))
        sum.set(value, (sum.get(value) ?? 0) + views)
      assert.deepEqual(await valuesOf(store, name, null), Object.fromEntries(sum), name)
    }
    for (const [name, values] of Object.entries(OF_OTHER_POST))
      assert.deepEqual(await valuesOf(store, name as DimensionName, OTHER_POST), values, name)
    await assertVerified(store)
  })

  promises('counts the values of a redelivered view once', async ({ open }) => {
    const store = await openWithHosts(open)
    await record(store, VIEWS)
    await record(store, VIEWS)
    assert.deepEqual(await valuesOf(store, 'source', POST), OF_POST.source)
    await assertVerified(store)
  })

  promises('says of each value how many were bots, also if they are excluded', async ({ open }) => {
    const store = await openWithHosts(open, { bots: 'exclude' })
    await record(store, VIEWS)
    const { values } = await store.breakdown('channel', POST, DAY, DAY)
    assert.deepEqual(values.get('direct'), { views: 0, bots: 2 })
    assert.deepEqual(values.get('search'), { views: 6, bots: 0 })
    const bots = await store.breakdown('bot', POST, DAY, DAY)
    assert.deepEqual(bots.values.get('GPTBot'), { views: 0, bots: 1 })
    await assertVerified(store)
  })

  promises('names the hour of days with 23 and 25 hours by elapsed time', async ({ open }) => {
    const store = await open({ timeZone: 'Europe/Warsaw' }, OPTIONS)
    // Clocks go forward at 01:00 UTC, and back at 01:00 UTC.
    await record(store, [
      view('2026-03-28T23:00:00Z'),
      view('2026-03-29T21:59:59Z'),
      view('2026-10-24T22:00:00Z'),
      view('2026-10-25T22:59:59Z'),
    ])
    assert.deepEqual(await valuesOf(store, 'hour', POST, '2026-03-29'), { 0: 1, 22: 1 })
    assert.deepEqual(await valuesOf(store, 'hour', POST, '2026-10-25'), { 0: 1, 24: 1 })
    await assertVerified(store)
  })

  promises('moves hours with their days to another zone', async ({ open }) => {
    const store = await open({ timeZone: 'UTC' }, OPTIONS)
    await record(store, [view(`${DAY}T23:30:00Z`)])
    const moved = await open({ timeZone: 'Asia/Kathmandu' }, OPTIONS)
    await moved.rebuild({ adoptSettings: true })
    assert.deepEqual(await valuesOf(moved, 'hour', POST, '2026-03-11'), { 5: 1 })
    await assertVerified(moved)
  })

  promises(
    'keeps the numbers of a reader who is forgotten, but not the utm texts',
    async ({ open, kept }) => {
      const store = await openWithHosts(open)
      await record(store, [...VIEWS, view(NOON, { userId: '7', url: '/?utm_campaign=told-7' })])
      const before = await valuesOf(store, 'campaign', POST)
      assert.equal(await store.forget({ userId: '7' }), 1)
      assert.deepEqual(await valuesOf(store, 'campaign', POST), before)
      const utms = (await kept.rows()).map(({ utm }) => utm).filter(utm => utm !== null)
      assert.deepEqual(utms, ['weekly\temail\tmarch sale\t'])
      await assertVerified(store)
    },
  )

  promises(
    'keeps the country and every number where it keeps no address',
    async ({ open, another, kept }) => {
      const nameless = { ...OPTIONS, ipStorage: 'none' } as const
      const store = await openWithHosts(open, {}, nameless)
      await record(store, VIEWS)
      for (const { ip } of await kept.rows()) assert.equal(ip, null)
      for (const name of NAMES) assert.deepEqual(await valuesOf(store, name, POST), OF_POST[name], name)
      await assertVerified(store)
      await store.rebuild(KEEP)

      const full = await openWithHosts((await another()).open)
      await record(full, VIEWS)
      assert.deepEqual(await store.siteTotals(), await full.siteTotals())
      assert.deepEqual(await store.postTotals([POST, OTHER_POST]), await full.postTotals([POST, OTHER_POST]))
      for (const post of [POST, OTHER_POST, null])
        for (const name of NAMES)
          assert.deepEqual(await valuesOf(store, name, post), await valuesOf(full, name, post), name)
    },
  )

  promises('counts what was kept before its values were as unknown', async ({ open, damage }) => {
    const store = await openWithHosts(open)
    await record(store, VIEWS)
    await damage({ kind: 'rows from before', post: POST })
    await store.rebuild(KEEP)
    await assertVerified(store)
    for (const name of NAMES) {
      if (name === 'referrer') continue
      const { values, days } = await store.breakdown(name, POST, DAY, DAY)
      assert.equal(values.size, 0, name)
      assert.deepEqual(days, [{ date: DAY, all: { views: 10, bots: 2 }, known: { views: 0, bots: 0 } }], name)
    }
    assert.deepEqual(await valuesOf(store, 'channel', null), OF_OTHER_POST.channel)
  })

  promises(
    'keeps the values of a day whose raw rows are gone, and adds late views to them',
    async ({ open, kept }) => {
      const store = await openWithHosts(open, { bots: 'exclude' })
      const receivedAt = unix(`${DAY}T23:59:59Z`)
      const early = VIEWS.map((one, nth) => ({ ...one, postUuid: nth % 3 === 0 ? OTHER_POST : POST }))
      await record(store, early, { receivedAt })
      const everything = async () => {
        const reads = NAMES.flatMap(name => [POST, OTHER_POST, null].map(post => [name, post] as const))
        return Promise.all(reads.map(async ([name, post]) => store.breakdown(name, post, DAY, DAY)))
      }
      const before = await everything()
      const now = unix('2026-06-10T00:00:00Z')
      // First the day is open, then it is settled: what is left of its rows must say the same.
      for (const rawRetentionDays of [89, 88])
        await store.prune({ now, rawRetentionDays, maxAgeSeconds: 80 * 86_400 })
      assert.deepEqual(await kept.rows(), [])
      assert.deepEqual(await everything(), before)
      await assertVerified(store)
      await record(store, VIEWS, { receivedAt: now })
      const { values } = await store.breakdown('source', null, DAY, DAY)
      assert.deepEqual(values.get('Google'), { views: 12, bots: 0 })
      assert.deepEqual(values.get(''), { views: 2, bots: 6 })
      await assertVerified(store)
    },
  )

  promises('keeps the longest hosts and utm texts', async ({ open }) => {
    const store = await openWithHosts(open)
    const host = `${`${'x'.repeat(59)}.`.repeat(4)}example`
    const long = encodeURIComponent('🦊'.repeat(100))
    const views = [
      view(NOON, {
        referer: `https://${host}/`,
        url: `/?utm_campaign=${encodeURIComponent('ы'.repeat(60))}`,
      }),
      view(NOON, { url: `/?utm_source=${long}` }),
    ]
    assert.deepEqual(await record(store, views), outcomeOf(store, 2, 0))
    assert.ok(host.length > 245)
    assert.deepEqual(
      Object.keys(await valuesOf(store, 'source', POST)).toSorted(),
      [host, '🦊'.repeat(100)].toSorted(),
    )
    await assertVerified(store)
  })

  promises('names rows with another hour, and derives it again', async ({ open, damage }) => {
    const store = await openWithHosts(open)
    await record(store, VIEWS)
    // Where a day's values are kept once it is settled.
    if (countsByRows) await store.prune(SETTLING)
    await damage({ kind: 'rows tampered', post: POST, says: { hour: 3 } })
    const kinds = [...new Set((await differencesIn(store)).map(({ kind }) => kind))].toSorted()
    assert.deepEqual(kinds, ['hour', 'row', 'site_hour'])
    await store.rebuild(KEEP)
    await assertVerified(store)
    assert.deepEqual(await valuesOf(store, 'hour', POST), OF_POST.hour)
  })

  for (const [field, value, names] of [
    ['origin', '1\tsocial\tReddit\tspring', ['source', 'channel', 'campaign']],
    ['agent', '1\ttablet\tChrome\tAndroid\tCCBot\tseo', ['device', 'browser', 'os', 'bot', 'purpose']],
    ['country', '2026-06-01\tFR', ['country']],
  ] as const) {
    promises(`names rows with another ${field}, and counts them again`, async ({ open, damage }) => {
      const store = await openWithHosts(open)
      await record(store, VIEWS)
      if (countsByRows) await store.prune(SETTLING)
      await damage({ kind: 'rows tampered', post: POST, says: { [field]: value } })
      const kinds = [...new Set((await differencesIn(store)).map(({ kind }) => kind))].toSorted()
      assert.deepEqual(kinds, [...names, ...names.map(name => `site_${name}`)].toSorted())
      await store.rebuild(KEEP)
      await assertVerified(store)
      const told = value.split('\t').slice(1)
      const found = await Promise.all(names.map(name => valuesOf(store, name, POST)))
      assert.deepEqual(found.flatMap(values => Object.keys(values)).toSorted(), told.toSorted())
    })
  }
}

export async function openWithHosts(
  open: (settings?: object, options?: object) => Promise<Store>,
  settings: object = {},
  options: object = OPTIONS,
): Promise<Store> {
  const store = await open(settings, options)
  await store.migrate(undefined, { ownHosts: ownHostsOf('blog.example'), goesBack: false })
  return store
}

/** The views of each value, of bots for what only they have. */
export async function valuesOf(
  store: Store,
  name: DimensionName,
  post: string | null,
  day = DAY,
): Promise<Record<string, number>> {
  const { values, others } = await store.breakdown(name, post, day, day)
  assert.equal(others, null)
  return Object.fromEntries([...values].map(([value, { views }]) => [value, views]))
}
