import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TopOrder, TopSort } from '../store.ts'
import { PostNumbers } from './post-numbers.ts'
import { bytesOf, pageOf, Sums } from './ranking.ts'

const turn = () => Promise.resolve()

test('gives each post one number, and its id back', () => {
  const numbers = new PostNumbers()
  const ids = [
    '7',
    '70',
    '7-',
    'a',
    'A',
    'é',
    'Ã©',
    '日本',
    'x'.repeat(36),
    'ё'.repeat(36),
    'a'.repeat(4),
    'a'.repeat(5),
  ]
  const given = ids.map(id => numbers.numberOf(id))
  assert.deepEqual(given, [...ids.keys()])
  assert.deepEqual(
    ids.map(id => numbers.numberOf(id)),
    given,
  )
  assert.deepEqual(
    given.map(number => numbers.idOf(number)),
    ids,
  )
})

test('orders posts by the bytes of their ids, whether few are new or many, whenever they came', async () => {
  const numbers = new PostNumbers()
  const ids = new Set<string>()
  // Numbers that look random, and are the same in each run.
  let seed = 1
  const random = () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return seed
  }
  for (const many of [3, 40, 20_000, 10, 7_000]) {
    for (let count = 0; count < many; count++) {
      const id = random().toString(36) + (random() % 3 === 0 ? '-é' : random().toString(16))
      ids.add(id)
      numbers.numberOf(id)
    }
    const sorted = [...ids].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    const inOrder = await numbers.inOrder(turn)
    assert.deepEqual(
      Array.from(inOrder, number => numbers.idOf(number)),
      sorted,
    )
  }
})

test('ranks posts by any number of views there can be', async () => {
  const numbers = new PostNumbers()
  const sums = new Sums()
  const views = [
    1,
    2,
    255,
    256,
    65_535,
    65_536,
    65_537,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 48 + 1,
    2 ** 53 - 1,
  ]
  for (const [index, count] of views.entries())
    sums.add(numbers.numberOf(`post-${index % 5}-${index}`), count, null)
  sums.add(numbers.numberOf('nobody'), 0, 0)
  const ranking = await sums.toRanking(numbers, turn)
  assert.deepEqual(
    pageOf(ranking, numbers, { order: 'desc', limit: 100, offset: 0 }).map(post => post.views),
    views.toReversed(),
  )
  assert.deepEqual(pageOf(ranking, numbers, { order: 'desc', limit: 1, offset: views.length - 1 }), [
    { post_uuid: 'post-0-0', views: 1, unique_views: null },
  ])
})

test('adds up days, and what is unknown of one adds nothing to what is known of another', async () => {
  const numbers = new PostNumbers()
  const days = [
    { a: [5, 2], b: [1, null], c: [300, 300] },
    { a: [70_000, 3], b: [1, null] },
    { a: [5, null], b: [1, 0], d: [2, 0] },
  ] as Record<string, [number, number | null]>[]
  const total = new Sums()
  for (const day of days) {
    const sums = new Sums()
    for (const [id, [views, unique]] of Object.entries(day)) sums.add(numbers.numberOf(id), views, unique)
    await total.addColumn(await sums.toColumn(turn), turn)
  }
  const ranking = await total.toRanking(numbers, turn)
  assert.deepEqual(pageOf(ranking, numbers, { order: 'desc', limit: 10, offset: 0 }), [
    { post_uuid: 'a', views: 70_010, unique_views: 5 },
    { post_uuid: 'c', views: 300, unique_views: 300 },
    { post_uuid: 'b', views: 3, unique_views: 0 },
    { post_uuid: 'd', views: 2, unique_views: 0 },
  ])
})

test('what is not known of one day is not known of the sum, and comes last', async () => {
  const numbers = new PostNumbers()
  for (const most of [5, 254, 255, 65_534, 65_535, 2 ** 32 - 2, 2 ** 32 - 1, 2 ** 48]) {
    const [total, before] = [new Sums(), new Sums()]
    const days = [
      { unknown: [Number.NaN, Number.NaN], known: [2, 1], most: [most, most - 1], half: [1, Number.NaN] },
      { unknown: [2, 2], 'known-2': [Number.NaN, null], known: [1, 1], half: [1, 1] },
    ] as Record<string, [number, number | null]>[]
    for (const day of days) {
      const sums = new Sums()
      for (const [id, [views, unique]] of Object.entries(day)) sums.add(numbers.numberOf(id), views, unique)
      await total.addColumn(await sums.toColumn(turn), turn)
    }
    before.add(numbers.numberOf('half'), Number.NaN, null)
    before.add(numbers.numberOf('most'), 1, 1)
    const listed = async (sort: TopSort, order: TopOrder) => {
      const ranking = await total.toRanking(numbers, turn, sort, sort === 'change' ? before : null)
      return pageOf(ranking, numbers, { order, limit: 10, offset: 0 })
    }
    const [first, ...others] = await listed('views', 'desc')
    assert.deepEqual(first, { post_uuid: 'most', views: most, unique_views: most - 1 })
    assert.deepEqual(
      others.filter(({ post_uuid }) => post_uuid !== 'known'),
      [
        { post_uuid: 'half', views: 2, unique_views: null },
        { post_uuid: 'known-2', views: null, unique_views: null },
        { post_uuid: 'unknown', views: null, unique_views: null },
      ],
    )
    for (const [sort, unknown] of [
      ['views', 2],
      ['unique_views', 3],
      ['change', 3],
    ] as const) {
      const [desc, asc] = await Promise.all([listed(sort, 'desc'), listed(sort, 'asc')])
      assert.deepEqual(desc.slice(-unknown), asc.slice(-unknown))
      assert.ok(desc.slice(0, -unknown).every(post => post[sort] !== null))
      assert.deepEqual(desc.slice(0, -unknown).toReversed(), asc.slice(0, -unknown))
    }
  }
})

test('reads a list from either end, equals by id and unknown figures last', async () => {
  const numbers = new PostNumbers()
  const [sums, before] = [new Sums(), new Sums()]
  const now = { e: [3, 2], d: [3, null], c: [7, 1], b: [3, 2], a: [1, null] } as Record<
    string,
    [number, number | null]
  >
  for (const [id, [views, unique]] of Object.entries(now)) sums.add(numbers.numberOf(id), views, unique)
  for (const [id, views] of Object.entries({ g: 4, c: 7, e: 1, f: 4 }))
    before.add(numbers.numberOf(id), views, null)
  const orders = {
    views: { desc: 'c b d e a', asc: 'a b d e c' },
    unique_views: { desc: 'b e c a d', asc: 'c b e a d' },
    change: { desc: 'b d e a c f g', asc: 'f g c a e b d' },
  } as const
  for (const sort of ['views', 'unique_views', 'change'] as const) {
    const ranking = await sums.toRanking(numbers, turn, sort, sort === 'change' ? before : null)
    for (const order of ['desc', 'asc'] as const) {
      const ids = orders[sort][order].split(' ')
      for (let offset = 0; offset <= ids.length + 1; offset++) {
        for (let limit = 1; limit <= ids.length + 1; limit++) {
          assert.deepEqual(
            pageOf(ranking, numbers, { order, limit, offset }).map(post => post.post_uuid),
            ids.slice(offset, offset + limit),
          )
        }
      }
    }
    if (sort !== 'change') continue
    assert.deepEqual(pageOf(ranking, numbers, { order: 'asc', limit: 2, offset: 1 }), [
      { post_uuid: 'g', views: 0, unique_views: 0, previous_views: 4, change: -4 },
      { post_uuid: 'c', views: 7, unique_views: 1, previous_views: 7, change: 0 },
    ])
  }
})

test('takes 64 bytes for a post at most, and 6 for each of its days while it has few views', async () => {
  const numbers = new PostNumbers()
  const sums = new Sums()
  const posts = 200_000
  for (let post = 0; post < posts; post++)
    sums.add(
      numbers.numberOf(`0190a000-0000-7000-8000-${String(post).padStart(12, '0')}`),
      1 + (post % 200),
      1,
    )
  await numbers.inOrder(turn)
  assert.ok(numbers.bytes / posts < 64, `${numbers.bytes / posts} bytes for a post`)
  assert.ok(bytesOf(await sums.toColumn(turn)) / posts <= 6)
})
