/** From the tables of version 3 on ClickHouse, which did not tell the figures of bots from those of people. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { CountingSettings } from '../../packages/analytics/src/store/counting-settings.ts'
import type { Day } from '../../packages/analytics/src/store/days.ts'
import { NO_VIEWS } from '../../packages/analytics/src/store/figures.ts'
import type { Store } from '../../packages/analytics/src/store/store.ts'
import { assertVerified } from '../store-contract-database.ts'
import { everythingIn } from '../store-contract-recount.ts'
import { clickhouseUrl, ownCluster, queryShard } from '../support/clickhouse.ts'
import { opened, SETTINGS } from '../support/two-shards.ts'
import { TO_VERSION_3 } from '../support/undo-clickhouse.ts'
import { keepsNumbers } from '../support/undo-who.ts'
import { GOOGLEBOT, OTHER_POST, POST, record, unix, view } from '../support/views.ts'

const SETTLED = '2026-04-20'
/** Open, while its first hours are pruned. */
const PRUNED = '2026-04-29'
const OPEN = '2026-05-01'
const NOW = unix(`${OPEN}T12:00:00Z`)
const RETENTION = { now: NOW, rawRetentionDays: 1, maxAgeSeconds: 86_400 }
const POSTS = [POST, OTHER_POST]

const cluster = ownCluster(1)

/** A reader who is a person and a bot, one who is either alone, and on the other post no bots. */
async function readBoth(store: Store, day: Day): Promise<void> {
  const views = [
    view(`${day}T10:00:00Z`, { userAgent: GOOGLEBOT, userId: '7' }),
    view(`${day}T10:00:00Z`),
    view(`${day}T10:00:00Z`, { ip: '192.0.2.9', userId: '7' }),
    view(`${day}T10:00:00Z`, { userAgent: GOOGLEBOT, ip: '192.0.2.10' }),
    view(`${day}T10:00:00Z`, { postUuid: OTHER_POST }),
  ]
  await record(store, views, { receivedAt: unix(`${day}T11:00:00Z`) })
  await store.roll!()
}

async function undone(settings: CountingSettings, fill: (store: Store) => Promise<void>) {
  const running = await cluster()
  const name = await running.database()
  const url = clickhouseUrl(running, name)
  return async (t: Parameters<typeof opened>[0]) => {
    const before = await opened(t, url, settings)
    await before.migrate()
    await fill(before)
    const question = { posts: POSTS, from: SETTLED, to: OPEN }
    const answers = await everythingIn(before, question)
    for (const statement of TO_VERSION_3) await queryShard(running.shards[0]!, name, statement)
    const store = await opened(t, url, settings)
    await store.migrate()
    await store.checkSettings()
    return { store, question, answers }
  }
}

for (const bots of ['count', 'exclude'] as const) {
  const settings = { ...SETTINGS, bots }
  describe(`from version 3 (${bots})`, () => {
    test('every number stays what it was; people and bots are counted where the rows are kept', async t => {
      const upgraded = await undone(settings, async store => {
        await readBoth(store, SETTLED)
        await store.prune({ ...RETENTION, rawRetentionDays: 0 })
        await readBoth(store, OPEN)
      })
      const { store, question, answers } = await upgraded(t)
      // Where there were no bots, nothing is to be counted.
      const days = await store.postDays(POSTS, OPEN, OPEN, 'bots')
      assert.equal(days.get(POST)![0]!.unique_views, null)
      assert.deepEqual(days.get(OTHER_POST), [{ date: OPEN, ...NO_VIEWS }])
      await keepsNumbers(store, question, answers)
    })

    test('what its rows no longer tell stays unknown, also when they are pruned', async t => {
      const upgraded = await undone(settings, async store => {
        await readBoth(store, PRUNED)
        await store.prune(RETENTION)
        await readBoth(store, OPEN)
      })
      const { store, question, answers } = await upgraded(t)
      const ofAll = async () => {
        const { chosen: _, ...others } = await everythingIn(store, question)
        return others
      }
      const { chosen: _, ...others } = answers
      assert.deepEqual(await ofAll(), others)
      await assertVerified(store)
      await store.rebuild({ adoptSettings: false })
      assert.deepEqual(await ofAll(), others)
      await assertVerified(store)
      assert.equal((await store.rebuild({ adoptSettings: false })).fixed, 0)

      const uniquesOf = async (post: string, day: Day) =>
        Promise.all(
          (['people', 'bots', 'all'] as const).map(
            async who => (await store.postDays([post], day, day, who)).get(post)![0]!.unique_views,
          ),
        )
      const all = bots === 'count' ? 3 : null
      const people = bots === 'count' ? null : 2
      assert.deepEqual(await uniquesOf(POST, PRUNED), [people, null, all])
      assert.deepEqual(await uniquesOf(OTHER_POST, PRUNED), [1, 0, 1])
      assert.deepEqual(await uniquesOf(POST, OPEN), [2, 2, 3])

      // Readers of the day who come again are known, and as what they come now is counted where it was known before.
      await record(
        store,
        [
          view(`${PRUNED}T13:00:00Z`),
          view(`${PRUNED}T13:00:00Z`, { postUuid: OTHER_POST, userAgent: GOOGLEBOT }),
          view(`${PRUNED}T13:00:00Z`, { postUuid: OTHER_POST, ip: '192.0.2.9' }),
        ],
        { receivedAt: NOW },
      )
      await store.roll!()
      assert.deepEqual(await uniquesOf(POST, PRUNED), [people, null, all])
      assert.deepEqual(await uniquesOf(OTHER_POST, PRUNED), [2, 1, 2])
      await assertVerified(store)
      for (const day of [2, 20]) await store.prune({ ...RETENTION, now: NOW + day * 86_400 })
      assert.deepEqual(await uniquesOf(POST, PRUNED), [people, null, all])
      assert.deepEqual(await uniquesOf(OTHER_POST, PRUNED), [2, 1, 2])
      assert.deepEqual(await uniquesOf(POST, OPEN), [2, 2, 3])
      await assertVerified(store)
    })
  })
}
