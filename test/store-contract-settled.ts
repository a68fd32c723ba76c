/** The contract, eighth part: how many hosts a day keeps that is over, whatever readers invent. */

import assert from 'node:assert/strict'
import type { View } from '@postviews/client/src/index.ts'
import { KEPT_OF_POST, KEPT_OF_SITE, REMAINDER } from '../packages/analytics/src/store/bounds.ts'
import { StoreRefused } from '../packages/analytics/src/store/failures.ts'
import type { Store } from '../packages/analytics/src/store/store.ts'
import {
  assertVerified,
  type ContractEngine,
  differencesIn,
  type Promises,
} from './store-contract-database.ts'
import type { Damage, Figures, Kept } from './support/damage.ts'
import { referrersIn } from './support/referrers.ts'
import { GOOGLEBOT, POST, record, unix, untilAvailable, view } from './support/views.ts'

const DAY = '2026-03-10'
const NEXT_DAY = '2026-03-11'
const DAY_SECONDS = 86_400
const SETTLES = unix('2026-03-12T00:00:00Z')
/** Keeps every row and every key. */
const KEEPING = { now: SETTLES, rawRetentionDays: 0, maxAgeSeconds: 30 * DAY_SECONDS }
const KEEP = { adoptSettings: false } as const

/** One post with some hosts more than are kept of it, and more on the site than are kept there. */
const OTHER_POSTS = 10
const HOSTS_OF_POST = KEPT_OF_POST + 20
const HOSTS_OF_OTHER = 460
const HOSTS_OF_SITE = HOSTS_OF_POST + OTHER_POSTS * HOSTS_OF_OTHER

export function settledContract(promises: Promises, { countsByRows = false }: ContractEngine): void {
  promises(
    'keeps of a day that is over for a day the hosts with most views, the rest as one',
    async ({ open, kept }) => {
      const store = await open()
      await fill(store)
      const days = await store.siteDays(DAY, DAY)
      await store.prune({ ...KEEPING, now: SETTLES - 1 })
      assert.deepEqual(await storedHosts(kept, POST), { hosts: HOSTS_OF_POST, rest: 0 })
      assert.deepEqual(await storedHosts(kept, null), { hosts: HOSTS_OF_SITE, rest: 0 })

      await store.prune(KEEPING)
      // The last by name are those that go: each has one view, but for the first ten.
      assert.deepEqual(await storedHosts(kept, POST), { hosts: KEPT_OF_POST, rest: 20 })
      assert.deepEqual(await storedHosts(kept, null), {
        hosts: KEPT_OF_SITE,
        rest: HOSTS_OF_SITE - KEPT_OF_SITE,
      })
      const keptOfPost = async () =>
        (await kept.hosts(DAY)).flatMap(({ post, host }) => (post === POST ? host : []))
      const gone = (await keptOfPost()).filter(host => host >= hostOf(KEPT_OF_POST) && host !== REMAINDER)
      assert.deepEqual(gone, [])

      const { referrers, other } = await referrersIn(store, POST, DAY, DAY, 100)
      assert.deepEqual(
        referrers.slice(0, 12),
        [null, ...Array.from({ length: 11 }, (_, nth) => hostOf(nth))].map((host, nth) => ({
          host,
          views: nth === 0 ? 3 : nth <= 10 ? 2 : 1,
        })),
      )
      assert.ok(referrers.every(({ host }) => host !== REMAINDER))
      assert.equal(sum(referrers) + other.views, HOSTS_OF_POST + 10 + 3)
      const site = await referrersIn(store, null, DAY, DAY, 5)
      assert.equal(sum(site.referrers) + site.other.views, days[0]!.views)
      assert.deepEqual(await store.siteDays(DAY, DAY), days)
      await assertVerified(store)
      assert.equal((await store.rebuild(KEEP)).fixed, 0)
      await store.prune(KEEPING)
      assert.deepEqual(await storedHosts(kept, POST), { hosts: KEPT_OF_POST, rest: 20 })

      // Late views of a host that was not kept. A rebuild keeps it instead of one that has fewer.
      const [last, lastKept] = [hostOf(HOSTS_OF_POST - 1), hostOf(KEPT_OF_POST - 1)]
      await record(store, viewsFrom(...Array.from({ length: 5 }, () => last)))
      if (!countsByRows) {
        const { referrers, other } = await referrersIn(store, POST, DAY, DAY, KEPT_OF_POST + 1)
        assert.ok(referrers.every(({ host }) => host !== last))
        assert.deepEqual(other, { views: 25 })
      }
      await record(store, viewsFrom(...Array.from({ length: 35 }, () => last)))
      if (!countsByRows) {
        // The five are not packed yet.
        assert.deepEqual(await storedHosts(kept, POST), { hosts: KEPT_OF_POST, rest: 55 })
        await assertVerified(store)
        assert.ok((await store.rebuild(KEEP)).fixed > 0)
      }
      assert.deepEqual(await storedHosts(kept, POST), { hosts: KEPT_OF_POST, rest: 20 })
      const [first, second] = (await referrersIn(store, POST, DAY, DAY, 2)).referrers
      assert.deepEqual(
        [first, second],
        [
          { host: last, views: 41 },
          { host: null, views: 3 },
        ],
      )
      assert.ok(!(await keptOfPost()).includes(lastKept))
      await assertVerified(store)
      assert.equal((await store.rebuild(KEEP)).fixed, 0)
    },
  )

  promises('keeps the host of a late view where a settled day has room for it', async ({ open }) => {
    const store = await open()
    await record(store, viewsFrom('a.example', 'b.example', 'b.example'))
    await store.prune(KEEPING)
    await record(store, viewsFrom('a.example', 'new.example', 'new.example', null))
    await record(store, viewsFrom('new.example', 'other.example'))
    const arrivals = Array.from({ length: 40 }, () => 'another.example')
    for (const more of [[], arrivals]) {
      await record(store, viewsFrom(...more))
      for (const post of [POST, null]) {
        const { referrers, other } = await referrersIn(store, post, DAY, DAY, 10)
        const hosts = [
          { host: 'a.example', views: 2 },
          { host: 'b.example', views: 2 },
          { host: null, views: 1 },
          { host: 'new.example', views: 3 },
          { host: 'other.example', views: 1 },
          ...(more.length === 0 ? [] : [{ host: 'another.example', views: 40 }]),
        ]
        assert.deepEqual(referrers.toSorted(byHost), hosts.toSorted(byHost))
        assert.deepEqual(other, { views: 0 })
      }
      await assertVerified(store)
      assert.equal((await store.rebuild(KEEP)).fixed, 0)
    }
  })

  promises('lists the hosts of a day with very many together with those of other days', async ({ open }) => {
    const store = await open()
    await fill(store)
    const hosts = [1, 1, 1, 300, 300, 300, 300, 5_000].map(hostOf)
    await record(
      store,
      [...hosts, 'new.example', 'new.example'].map(host =>
        view(`${NEXT_DAY}T12:00:00Z`, { referer: `https://${host}/`, postUuid: 'another' }),
      ),
    )
    const [first, last] = [hostOf(300), hostOf(1)]
    const views = HOSTS_OF_SITE + 10 + 3
    assert.deepEqual(await referrersIn(store, null, DAY, NEXT_DAY, 5), {
      referrers: [
        { host: first, views: 5 },
        { host: last, views: 5 },
        { host: null, views: 3 },
        { host: hostOf(0), views: 2 },
        { host: hostOf(2), views: 2 },
      ].toSorted((a, b) => b.views - a.views || byHost(a, b)),
      other: { views: views + 10 - 17 },
    })
    const all = await referrersIn(store, null, DAY, NEXT_DAY, 10_000)
    assert.equal(all.referrers.length, HOSTS_OF_SITE + 2)
    assert.deepEqual(all.other, { views: 0 })
    // A page further down is of the same list, though it is read without the shortcut of the first.
    const sum = all.referrers.reduce((total, { views }) => total + views, 0)
    for (const offset of [3, 4_000, HOSTS_OF_SITE, HOSTS_OF_SITE + 2]) {
      const { referrers, other } = await referrersIn(store, null, DAY, NEXT_DAY, 10, offset)
      assert.deepEqual(referrers, all.referrers.slice(offset, offset + 10), `from ${offset}`)
      assert.equal(other.views, sum - referrers.reduce((total, { views }) => total + views, 0))
    }
    // As many as have two views or more, one fewer and one more; and those who all have one.
    for (const limit of [1, 4, 10, 11, 12, 13, 14, 15, 600]) {
      for (const last of [DAY, NEXT_DAY]) {
        const long = await referrersIn(store, null, DAY, last, 10_000)
        const { referrers, other } = await referrersIn(store, null, DAY, last, limit)
        assert.deepEqual(referrers, long.referrers.slice(0, limit), `${limit} until ${last}`)
        const listed = referrers.reduce((total, { views }) => total + views, 0)
        assert.equal(other.views, (last === DAY ? views : views + 10) - listed)
      }
    }
    assert.deepEqual(await referrersIn(store, null, DAY, DAY, 1), {
      referrers: [{ host: null, views: 3 }],
      other: { views: views - 3 },
    })
  })

  const wherePacked = countsByRows ? () => {} : promises
  wherePacked(
    'keeps of long hosts as many as have room, also while the day goes on',
    async ({ open, kept }) => {
      const store = await open()
      // Of 250 characters each: a thousand take what a dimension may take.
      const longHost = (nth: number) =>
        [...'abc'].map(letter => letter.repeat(63)).join('.') + `.${58e9 + nth}`.padEnd(59, 'x')
      const hosts = Array.from({ length: 1_200 }, (_, nth) => longHost(nth))
      await record(store, viewsFrom(...hosts))
      for (const prune of [false, true]) {
        if (prune) await store.prune(KEEPING)
        assert.deepEqual(await storedHosts(kept, null), { hosts: 1_000, rest: 200 })
        const { referrers, other } = await referrersIn(store, null, DAY, DAY, 10)
        assert.equal(sum(referrers) + other.views, 1_200)
        await assertVerified(store)
        assert.equal((await store.rebuild(KEEP)).fixed, 0)
      }
    },
  )

  wherePacked(
    'chooses anew, each time retention runs, which hosts of a day keep their names',
    async ({ open }) => {
      const store = await open()
      // More than one post keeps while the day goes on.
      const most = 4 * KEPT_OF_POST
      await record(store, viewsFrom(...Array.from({ length: most + 50 }, (_, nth) => hostOf(nth))))
      await record(store, viewsFrom(...Array.from({ length: 10 }, () => 'late.example')))
      const first = async () => (await referrersIn(store, POST, DAY, DAY, 1)).referrers[0]
      assert.deepEqual(await first(), { host: hostOf(0), views: 1 })
      for (const now of [SETTLES - DAY_SECONDS, SETTLES]) {
        await store.prune({ ...KEEPING, now })
        assert.deepEqual(await first(), { host: 'late.example', views: 10 })
        await assertVerified(store)
        assert.equal((await store.rebuild(KEEP)).fixed, 0)
      }
      const { referrers, other } = await referrersIn(store, POST, DAY, DAY, 1_000)
      assert.equal(referrers.length, KEPT_OF_POST)
      assert.equal(sum(referrers) + other.views, most + 60)
    },
  )

  promises('adds new hosts to the days behind it as before', async ({ open }) => {
    const store = await open()
    await store.prune(KEEPING)
    await record(store, [view(`${NEXT_DAY}T00:00:00Z`, { referer: 'https://new.example/' })])
    assert.deepEqual(await referrersIn(store, POST, DAY, NEXT_DAY, 10), {
      referrers: [{ host: 'new.example', views: 1 }],
      other: { views: 0 },
    })
    await assertVerified(store)
  })

  promises('settles a day in steps, each of which can be the last for a while', async ({ open, kept }) => {
    const store = await open()
    await fill(store)
    const before = await viewsOf(store)
    const ended = new Error('a signal came')
    let runs = 0
    for (let steps = 0; ; steps++) {
      let left = steps
      const run = store.prune(KEEPING, step => {
        if (step === 'hosts' && left-- === 0) throw ended
      })
      const isOver = await run.then(
        () => true,
        error => {
          assert.equal(error, ended)
          return false
        },
      )
      assert.deepEqual(await viewsOf(store), before)
      await assertVerified(store)
      runs++
      if (isOver) break
    }
    assert.ok(runs > (countsByRows ? 1 : 2), `${runs} runs`)
    assert.deepEqual(await storedHosts(kept, POST), { hosts: KEPT_OF_POST, rest: 20 })
    assert.deepEqual(await storedHosts(kept, null), {
      hosts: KEPT_OF_SITE,
      rest: HOSTS_OF_SITE - KEPT_OF_SITE,
    })
  })

  /** A settled day with these hosts, and some that came after it was settled. */
  async function settledDay(store: Store, hosts: number) {
    await fill(store, { hosts })
    const some = Array.from({ length: 40 }, () => null)
    await record(store, viewsFrom('a.example', 'a.example', 'b.example', 'b.example', ...some))
    await store.prune(KEEPING)
    await record(store, viewsFrom('c.example', 'd.example'))
    await assertVerified(store)
  }

  type Wrong = (from: (host: string) => Figures) => Damage[]
  /** Damages such a day, sees that it is named, and puts it right; with each of these. */
  async function putsRight(
    { open, damage }: Pick<Parameters<Parameters<Promises>[1]>[0], 'open' | 'damage'>,
    { kind, hosts, wrongs }: { kind: 'referrer' | 'site_referrer'; hosts: number; wrongs: readonly Wrong[] },
  ) {
    const store = await open()
    await settledDay(store, hosts)
    const post = kind === 'referrer' ? POST : null
    const viewsOf = async () => {
      const { referrers, other } = await referrersIn(store, post, DAY, DAY, 10)
      return sum(referrers) + other.views
    }
    const from = (host: string): Figures => ({ of: kind, day: DAY, host, ...(post !== null && { post }) })
    for (const [nth, wrong] of wrongs.entries()) {
      await record(store, viewsFrom(`another-${nth}.example`))
      const before = await viewsOf()
      const damages = wrong(from)
      await damage(...damages)
      const kinds = (await differencesIn(store)).map(difference => difference.kind)
      // Without the remainder, each host that is in it is missing.
      const isWhole = !damages.some(
        ({ kind, ...of }) => kind === 'missing' && 'host' in of && of.host === REMAINDER,
      )
      const found = isWhole ? damages.length : kinds.length
      assert.ok(found > 0)
      assert.deepEqual(kinds, Array(found).fill(kind), JSON.stringify(damages))
      assert.ok((await store.rebuild(KEEP)).fixed >= damages.length)
      await assertVerified(store)
      assert.equal(await viewsOf(), before)
    }
  }

  const OF_HOSTS: Wrong[] = [
    from => [{ kind: 'too high', figure: 'views', ...from('a.example') }],
    from => [{ kind: 'missing', ...from('') }],
    // That it was kept nobody can tell: its views are not in the remainder.
    from => [{ kind: 'missing', ...from('b.example') }],
    from => [
      { kind: 'missing', ...from('a.example') },
      { kind: 'superfluous', views: 1, ...from('never.example') },
    ],
  ]
  const OF_REMAINDER: Wrong[] = [
    from => [{ kind: 'too high', figure: 'views', ...from(REMAINDER) }],
    from => [{ kind: 'missing', ...from(REMAINDER) }],
  ]
  // Where hosts are chosen anew, there are none but those that are kept.
  const wrongsOfPost = countsByRows ? OF_HOSTS : [...OF_HOSTS, ...OF_REMAINDER]

  promises('names what is wrong of a settled day of a post, and puts it right', database =>
    putsRight(database, { kind: 'referrer', hosts: HOSTS_OF_POST, wrongs: wrongsOfPost }),
  )

  promises('names what is wrong of a settled day of the site, and puts it right', database =>
    putsRight(database, { kind: 'site_referrer', hosts: HOSTS_OF_POST, wrongs: OF_HOSTS }),
  )

  if (!countsByRows) {
    promises('names what is wrong of the hosts that the site left out, and puts it right', database =>
      putsRight(database, { kind: 'site_referrer', hosts: HOSTS_OF_SITE, wrongs: OF_REMAINDER }),
    )
  }

  promises('settles days whose raw rows are gone, and proves their sums', async ({ open, damage, kept }) => {
    const store = await open()
    await fill(store, { receivedAt: unix(`${DAY}T13:00:00Z`) })
    await record(store, [view('2026-06-01T12:00:00Z', { referer: 'https://a.example/' })])
    await store.prune({
      now: unix('2026-07-01T12:00:00Z'),
      rawRetentionDays: 90,
      maxAgeSeconds: 30 * DAY_SECONDS,
    })
    assert.equal((await kept.rows()).length, 1)
    assert.deepEqual(await storedHosts(kept, POST), { hosts: KEPT_OF_POST, rest: 20 })
    assert.deepEqual(await storedHosts(kept, null), {
      hosts: KEPT_OF_SITE,
      rest: HOSTS_OF_SITE - KEPT_OF_SITE,
    })
    await assertVerified(store)
    assert.equal((await store.rebuild(KEEP)).fixed, 0)

    await damage({ kind: 'too high', figure: 'views', of: 'site_referrer', day: DAY, host: REMAINDER })
    const views = HOSTS_OF_SITE + 10 + 3
    const [from, expected] = countsByRows
      ? ['other hosts', HOSTS_OF_SITE - KEPT_OF_SITE]
      : ['all hosts', views]
    assert.deepEqual(await differencesIn(store), [
      {
        kind: 'site_referrer',
        name: `site on ${DAY} from ${from}`,
        field: 'view_count',
        expected,
        found: expected + 1,
      },
    ])
  })

  promises('counts on where a clock that was ahead settled days that are not over', async ({ open }) => {
    const store = await open()
    await record(store, viewsFrom('a.example'))
    await store.prune({ ...KEEPING, now: SETTLES + 20 * DAY_SECONDS })
    const today = '2026-03-13T12:00:00Z'
    const hosts = Array.from({ length: HOSTS_OF_POST }, (_, nth) => hostOf(nth))
    await record(
      store,
      hosts.map(host => view(today, { referer: `https://${host}/` })),
    )
    const { other } = await referrersIn(store, POST, '2026-03-13', '2026-03-13', KEPT_OF_POST)
    assert.deepEqual(other, { views: 20 })
    const more = await referrersIn(store, POST, '2026-03-13', '2026-03-13', 1_000)
    assert.deepEqual(more.other, { views: 20 })

    // Ended before the hosts of those days are counted anew, they are no differences.
    const ended = new Error('ended')
    const ending = store.prune({ ...KEEPING, now: unix(today) }, step => {
      if (step === 'hosts') throw ended
    })
    if (!countsByRows) await assert.rejects(ending, ended)
    else await ending
    await assertVerified(store)

    // A clock that is a little behind changes nothing about a day that is settled.
    await store.prune({ ...KEEPING, now: unix(today) })
    await record(store, [view(today, { referer: 'https://c.example/' })])
    const { referrers, other: rest } = await referrersIn(store, POST, '2026-03-13', '2026-03-13', 1_000)
    assert.equal(sum(referrers) + rest.views, HOSTS_OF_POST + 1)
    // ClickHouse keeps the day settled; by which hosts it chooses by each view that comes.
    if (!countsByRows) {
      assert.deepEqual(
        referrers,
        ['c.example', ...hosts].map(host => ({ host, views: 1 })),
      )
    }
    await assertVerified(store)
  })

  promises('leaves hosts to those who count by what is recorded', async ({ open, openAsIs }) => {
    const before = await open()
    await record(before, viewsFrom('a.example'))
    const store = await openAsIs({ bots: 'exclude' })
    await store.rebuild({ adoptSettings: true })
    await store.prune({ ...KEEPING, now: SETTLES + 20 * DAY_SECONDS })
    const today = '2026-03-13T12:00:00Z'
    await record(store, [
      view(today, { referer: 'https://b.example/' }),
      view(today, { referer: 'https://c.example/', userAgent: GOOGLEBOT }),
    ])
    // It has had nothing to count since, so that nothing has stopped it.
    await assert.rejects(before.prune({ ...KEEPING, now: unix(today) }), StoreRefused)
    await assert.rejects(differencesIn(before), StoreRefused)
    await store.prune({ ...KEEPING, now: unix(today) })
    await assertVerified(store)
  })

  promises('settles and rebuilds a day beside consumers that count on it', async ({ open }) => {
    const [store, consumer] = [await open(), await open()]
    await fill(store)
    let isOver = false
    let counted = 0
    const consuming = (async () => {
      for (let batch = 0; !isOver || batch < 5; batch++) {
        const views = viewsFrom(
          ...Array.from({ length: 40 }, (_, nth) => hostOf((batch * 37 + nth * 13) % 700)),
          null,
        )
        await untilAvailable(() => record(consumer, views))
        counted += views.length
      }
    })()
    await untilAvailable(() => store.prune(KEEPING))
    await untilAvailable(() => store.rebuild(KEEP))
    isOver = true
    await consuming
    const { referrers, other } = await referrersIn(store, null, DAY, DAY, 10)
    assert.equal(sum(referrers) + other.views, HOSTS_OF_SITE + 10 + 3 + counted)
    await assertVerified(store)
  })
}

/** In the order of their numbers. */
function hostOf(nth: number): string {
  return `host-${String(nth).padStart(5, '0')}.example`
}

function viewsFrom(...hosts: (string | null)[]): View[] {
  return hosts.map(host => view(`${DAY}T12:00:00Z`, { referer: host === null ? null : `https://${host}/` }))
}

/** The first ten hosts of the post have two views, three views tell none. */
/** The day with as many hosts, those of the first post first. */
async function fill(
  store: Store,
  { hosts: count = HOSTS_OF_SITE, receivedAt }: { hosts?: number; receivedAt?: number } = {},
): Promise<void> {
  const reception = receivedAt === undefined ? undefined : { receivedAt }
  const hosts = Array.from({ length: count }, (_, nth) => hostOf(nth))
  const views = hosts.map((host, nth) =>
    view(`${DAY}T12:00:00Z`, {
      referer: `https://${host}/`,
      postUuid: nth < HOSTS_OF_POST ? POST : `post-${Math.floor((nth - HOSTS_OF_POST) / HOSTS_OF_OTHER)}`,
    }),
  )
  await record(store, views, reception)
  await record(store, viewsFrom(...hosts.slice(0, 10), null, null, null), reception)
}

function sum(referrers: readonly { views: number }[]): number {
  return referrers.reduce((total, { views }) => total + views, 0)
}

function byHost(a: { host: string | null }, b: { host: string | null }): number {
  return (a.host ?? '') < (b.host ?? '') ? -1 : 1
}

/** How many hosts are stored, without nowhere, and the views of the others. */
async function storedHosts(kept: Kept, post: string | null): Promise<{ hosts: number; rest: number }> {
  const hosts = (await kept.hosts(DAY)).filter(row => row.post === post && row.host !== '')
  const rest = hosts.find(({ host }) => host === REMAINDER)
  return { hosts: hosts.length - (rest === undefined ? 0 : 1), rest: rest?.views ?? 0 }
}

/** The views of the day by the hosts of each post, and by those of the site. */
function viewsOf(store: Store): Promise<number[]> {
  const posts = [POST, ...Array.from({ length: OTHER_POSTS }, (_, nth) => `post-${nth}`), null]
  return Promise.all(
    posts.map(async post => {
      const { referrers, other } = await referrersIn(store, post, DAY, DAY, 1_000)
      return sum(referrers) + other.views
    }),
  )
}
