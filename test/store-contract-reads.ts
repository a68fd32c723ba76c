/** The contract, second part: what is answered. */

import assert from 'node:assert/strict'
import { FIGURE_NAMES, type FigureName } from '@postviews/client/src/figures.ts'
import { addDays } from '../packages/analytics/src/store/days.ts'
import type { ChosenFigures } from '../packages/analytics/src/store/figures.ts'
import { assertVerified, type Promises, topOf } from './store-contract-database.ts'
import { everythingIn } from './store-contract-recount.ts'
import { referrersIn } from './support/referrers.ts'
import { FIREFOX, POST, record, unix, untilAvailable, view } from './support/views.ts'

const NOON = '2026-03-10T12:00:00Z'
const NOTHING = {
  ...figuresBy(() => 0),
  first_viewed_at: null,
  last_viewed_at: null,
}

export function readsContract(promises: Promises): void {
  promises('answers zeros and empty lists while there is nothing', async ({ open }) => {
    const store = await open()
    const nobody = { total: 0, posts: [] }
    const question = { posts: [POST], from: '2026-03-01', to: '2026-03-31' }
    assert.deepEqual(await everythingIn(store, question), {
      postTotals: [{ post_uuid: POST, ...NOTHING }],
      postDays: [[]],
      postReferrers: [[]],
      siteTotals: NOTHING,
      siteDays: [],
      siteReferrers: [],
      topOfAllTime: nobody,
      topOfPeriod: nobody,
      minutes: [],
      chosen: ['people', 'bots', 'all'].map(() => ({
        postTotals: [{ post_uuid: POST, ...NOTHING }],
        postDays: [[]],
        siteTotals: NOTHING,
        siteDays: [],
        topOfAllTime: nobody,
        topOfPeriod: nobody,
      })),
    })
    assert.deepEqual(await store.progress(), { lastCommittedAt: null, lastViewedAt: null })
    await assertVerified(store)
  })

  promises(
    'answers posts in the order asked, those never viewed and those asked twice too',
    async ({ open }) => {
      const store = await open()
      await record(store, [
        view(NOON, { postUuid: 'b' }),
        view(NOON, { postUuid: 'a' }),
        view(NOON, { postUuid: 'b' }),
      ])
      const totals = await store.postTotals(['c', 'b', 'a', 'b'])
      assert.deepEqual(
        totals.map(({ post_uuid, views }) => [post_uuid, views]),
        [
          ['c', 0],
          ['b', 2],
          ['a', 1],
          ['b', 2],
        ],
      )
      assert.deepEqual(await store.postTotals([]), [])
    },
  )

  promises('answers for 200 posts at once', async ({ open }) => {
    const store = await open()
    const posts = Array.from({ length: 200 }, (_, index) => `post-${index}`)
    await record(
      store,
      posts.flatMap((postUuid, index) =>
        Array.from({ length: 1 + (index % 3) }, () => view(NOON, { postUuid })),
      ),
    )
    const views = posts.map((_, index) => 1 + (index % 3))
    const totals = await store.postTotals(posts)
    assert.deepEqual(
      totals.map(({ views }) => views),
      views,
    )
    const days = await store.postDays(posts, '2026-03-10', '2026-03-10')
    assert.deepEqual(
      posts.map(post => days.get(post)?.map(({ views }) => views)),
      views.map(count => [count]),
    )
  })

  promises("answers each post's days, oldest first, both ends of the period included", async ({ open }) => {
    const store = await open()
    const days = ['2026-03-12', '2026-03-09', '2026-03-10', '2026-03-11', '2026-03-13']
    await record(store, [
      ...days.map(day => view(`${day}T12:00:00Z`)),
      view(NOON, { postUuid: 'b', userId: '7' }),
      view('2026-03-14T00:00:00Z', { postUuid: 'c' }),
    ])
    const one = { views: 1, unique_views: 1, logged_in: 0, anonymous: 1, bots: 0 }
    assert.partialDeepStrictEqual(
      await store.postDays([POST, 'b', 'c'], '2026-03-10', '2026-03-12'),
      new Map([
        [POST, ['2026-03-10', '2026-03-11', '2026-03-12'].map(date => ({ date, ...one }))],
        ['b', [{ date: '2026-03-10', ...one, logged_in: 1, anonymous: 0 }]],
        ['c', []],
      ]),
    )
    assert.deepEqual(await store.postDays([], '2026-03-10', '2026-03-12'), new Map())
    assert.deepEqual(
      (await store.siteDays('2026-03-10', '2026-03-12')).map(({ date, views }) => [date, views]),
      [
        ['2026-03-10', 2],
        ['2026-03-11', 1],
        ['2026-03-12', 1],
      ],
    )
  })

  promises('gives totals that are the sums of days, and of posts the site', async ({ open }) => {
    const store = await open({ windowHours: 6, bots: 'exclude' })
    const posts = ['a', 'b', 'c']
    for (let hour = 0; hour < 96; hour += 5) {
      const viewedAt = unix(NOON) + hour * 3_600
      const userId = hour % 2 === 0 ? '7' : null
      const userAgent = hour % 15 === 0 ? 'curl/8.14.1' : FIREFOX
      await record(
        store,
        posts.slice(hour % 3).map(postUuid => view(NOON, { postUuid, viewedAt, userId, userAgent })),
      )
    }
    const period = ['2026-03-01', '2026-03-31'] as const
    const days = await store.postDays(posts, ...period)
    const totals = await store.postTotals(posts)
    const { first_viewed_at, last_viewed_at, ...site } = await store.siteTotals()
    for (const { post_uuid, ...total } of totals) {
      assert.deepEqual(sumOf(days.get(post_uuid)!), figuresOf(total))
    }
    assert.deepEqual(sumOf(totals), site)
    assert.deepEqual(sumOf(await store.siteDays(...period)), site)
    assert.equal(first_viewed_at, '2026-03-10T17:00:00Z')
    assert.equal(last_viewed_at, '2026-03-14T11:00:00Z')
  })

  promises('lists the posts with most views, equals by id, in pages', async ({ open }) => {
    const store = await open()
    const views = { d: 3, b: 5, aB: 3, Ab: 3, c: 1 }
    await record(
      store,
      Object.entries(views).flatMap(([postUuid, count]) =>
        Array.from({ length: count }, (_, reader) => view(NOON, { postUuid, ip: `192.0.2.${reader % 2}` })),
      ),
    )
    const ranked = [
      { post_uuid: 'b', views: 5, unique_views: 2 },
      { post_uuid: 'Ab', views: 3, unique_views: 2 },
      { post_uuid: 'aB', views: 3, unique_views: 2 },
      { post_uuid: 'd', views: 3, unique_views: 2 },
      { post_uuid: 'c', views: 1, unique_views: 1 },
    ]
    for (const period of [null, { from: '2026-03-10', to: '2026-03-10' }]) {
      assert.deepEqual(await topOf(store, period, 2, 0), { total: 5, posts: ranked.slice(0, 2) })
      assert.deepEqual(await topOf(store, period, 2, 2), { total: 5, posts: ranked.slice(2, 4) })
      assert.deepEqual(await topOf(store, period, 2, 4), { total: 5, posts: ranked.slice(4) })
      assert.deepEqual(await topOf(store, period, 100, 5), { total: 5, posts: [] })
    }
  })

  promises('lists the posts with most views of a period by its views alone', async ({ open }) => {
    const store = await open()
    const days = ['2026-03-09', '2026-03-10', '2026-03-11']
    await record(store, [
      ...days.map(day => view(`${day}T12:00:00Z`, { postUuid: 'every-day' })),
      ...[1, 2, 3, 4].map(() => view('2026-03-09T23:59:59Z', { postUuid: 'before' })),
      ...[1, 2, 3].map(() => view('2026-03-11T12:00:00Z', { postUuid: 'on-the-last' })),
    ])
    assert.deepEqual(await topOf(store, { from: '2026-03-10', to: '2026-03-11' }, 10, 0), {
      total: 2,
      posts: [
        { post_uuid: 'on-the-last', views: 3, unique_views: 1 },
        { post_uuid: 'every-day', views: 2, unique_views: 2 },
      ],
    })
  })

  promises('lists the most viewed of a period anew once it was counted on', async ({ open }) => {
    const store = await open()
    const another = await open()
    const period = { from: '2025-11-03', to: '2026-03-11' }
    const listed = async () => (await topOf(store, period, 10, 0)).posts.map(post => Object.values(post))
    await record(another, [view('2026-03-10T12:00:00Z', { postUuid: 'a' })])
    assert.deepEqual(await listed(), [['a', 1, 1]])
    // A day of a whole month, of a part of one, of the last days, and one that is not asked for.
    for (const day of ['2025-12-31', '2025-11-03', '2026-03-11', '2026-03-12']) {
      await record(another, [view(`${day}T12:00:00Z`, { postUuid: 'b' })])
    }
    assert.deepEqual(await listed(), [
      ['b', 3, 3],
      ['a', 1, 1],
    ])
    await record(another, [view('2025-12-01T12:00:00Z', { postUuid: 'c' })])
    assert.deepEqual(await listed(), [
      ['b', 3, 3],
      ['a', 1, 1],
      ['c', 1, 1],
    ])
  })

  promises('counts the hosts that readers came from', async ({ open }) => {
    const store = await open()
    const referers = [
      'https://news.example/a',
      'https://NEWS.example:8443/b?c#d',
      'http://news.example./',
      'https://www.news.example/',
      'android-app://com.example.reader/',
      'http://[2001:DB8::1]:8080/',
      'http://x;=1+1;y/',
      'android-app://=1+1/',
      'about:blank',
      'no referer at all',
      '',
      null,
    ]
    await record(
      store,
      referers.map(referer => view(NOON, { referer })),
    )
    const hosts = [
      { host: null, views: 6 },
      { host: 'news.example', views: 4 },
      { host: '[2001:db8::1]', views: 1 },
      { host: 'com.example.reader', views: 1 },
    ]
    assert.deepEqual((await referrersIn(store, POST, '2026-03-10', '2026-03-10', 10)).referrers, hosts)
    assert.deepEqual((await referrersIn(store, null, '2026-03-10', '2026-03-10', 10)).referrers, hosts)
    await assertVerified(store)
  })

  promises('lists hosts of a period, most first, equals by name, nowhere among them', async ({ open }) => {
    const store = await open()
    const from = (host: string | null, day = '2026-03-10', postUuid = POST) =>
      view(`${day}T12:00:00Z`, { postUuid, referer: host === null ? null : `https://${host}/` })
    await record(store, [
      from('b.example'),
      from('a.example'),
      from(null),
      from(null, '2026-03-11'),
      from('a.example', '2026-03-11', 'another'),
      from('c.example', '2026-03-12'),
      from('c.example', '2026-03-12'),
    ])
    assert.deepEqual((await referrersIn(store, POST, '2026-03-10', '2026-03-11', 10)).referrers, [
      { host: null, views: 2 },
      { host: 'a.example', views: 1 },
      { host: 'b.example', views: 1 },
    ])
    assert.deepEqual((await referrersIn(store, null, '2026-03-10', '2026-03-12', 3)).referrers, [
      { host: null, views: 2 },
      { host: 'a.example', views: 2 },
      { host: 'c.example', views: 2 },
    ])
    assert.deepEqual((await referrersIn(store, 'another', '2026-03-10', '2026-03-10', 10)).referrers, [])
    assert.deepEqual(await referrersIn(store, null, '2026-03-10', '2026-03-12', 2, 1), {
      referrers: [
        { host: 'a.example', views: 2 },
        { host: 'c.example', views: 2 },
      ],
      other: { views: 3 },
    })
  })

  promises('tells the views of each minute by their own times', async ({ open }) => {
    const store = await open()
    await record(store, [view('2026-03-10T12:00:59Z'), view('2026-03-10T12:02:00Z')])
    await record(store, [view('2026-03-10T12:00:00Z'), view('2026-03-10T11:59:59Z')])
    const minutes = [
      { minute: '2026-03-10T12:00:00Z', views: 2 },
      { minute: '2026-03-10T12:02:00Z', views: 1 },
    ]
    assert.deepEqual(await store.minutes(unix('2026-03-10T12:00:00Z')), minutes)
    assert.deepEqual(await store.minutes(unix('2026-03-10T12:00:59Z')), minutes)
    assert.deepEqual(await store.minutes(unix('2026-03-10T12:03:00Z')), [])
  })

  promises(
    'tells how far it is: when it last committed, and the latest view of that batch',
    async ({ open }) => {
      const store = await open()
      const before = Math.floor(Date.now() / 1_000)
      const older = [view('2026-03-10T12:00:00Z'), view('2026-03-10T11:00:00Z')]
      await record(store, [view('2026-03-11T12:00:00Z')])
      await record(store, older)
      const { lastCommittedAt, lastViewedAt } = await store.progress()
      assert.ok(
        lastCommittedAt !== null && lastCommittedAt >= before && lastCommittedAt <= Date.now() / 1_000,
      )
      assert.equal(lastViewedAt, unix('2026-03-10T12:00:00Z'))
      // Views that come again are no newer for that.
      await record(store, older)
      assert.equal((await store.progress()).lastViewedAt, unix('2026-03-10T12:00:00Z'))
    },
  )

  promises('answers with whole batches only, while they are recorded', async ({ open }) => {
    const [writer, reader] = [await open(), await open()]
    const seen = new Set([(await reader.siteTotals()).views])
    let batches = 0
    let reading = true
    const recording = (async () => {
      // Until it was read at some moments in between, however fast either side is.
      for (; seen.size < 6 && batches < 2_000; batches++) {
        const batch = Array.from({ length: 10 }, (_, index) => view(NOON, { ip: `192.0.2.${index}` }))
        await untilAvailable(() => record(writer, batch))
      }
    })().finally(() => {
      reading = false
    })
    while (reading) {
      seen.add((await reader.siteTotals()).views)
      seen.add((await reader.postTotals([POST]))[0]!.views)
    }
    await recording
    assert.deepEqual(
      [...seen].filter(views => views! % 10 !== 0),
      [],
    )
    assert.ok(seen.size >= 6)
    assert.equal((await reader.siteTotals()).views, 10 * batches)
  })

  promises('answers for days far back and far ahead', async ({ open }) => {
    const store = await open()
    await record(store, [view('1999-12-31T23:59:59Z'), view('2035-01-01T00:00:00Z')])
    const days = await store.siteDays('1999-12-01', addDays('2035-01-01', 1))
    assert.deepEqual(
      days.map(({ date }) => date),
      ['1999-12-31', '2035-01-01'],
    )
  })
}

function figuresBy<T>(toValue: (name: FigureName) => T): Record<FigureName, T> {
  return Object.fromEntries(FIGURE_NAMES.map(name => [name, toValue(name)])) as Record<FigureName, T>
}

function figuresOf(total: ChosenFigures): Record<FigureName, number | null> {
  return figuresBy(name => total[name])
}

function sumOf(list: readonly ChosenFigures[]): Record<FigureName, number> {
  return figuresBy(name => list.reduce((total, figures) => total + figures[name]!, 0))
}
