/** Makes what is counted what a recount says, beside live consumers: nobody waits for it. */

import { type Day, latest } from '../calendar.ts'
import { differences } from '../sql/recount.ts'
import { type Progress, type RebuildOptions, type Rebuilt, StoreRefused } from '../store.ts'
import { adoptSettings } from './adopt-settings.ts'
import { FIGURE_COLUMNS } from './batch.ts'
import { homeOf } from './labels.ts'
import { completeLeftOvers } from './left-overs.ts'
import { quoted } from './reads.ts'
import {
  allDays,
  expectedFigures,
  type Figure,
  listReaders,
  postFigures,
  postFiguresAsSite,
  type Snapshot,
  siteFigures,
  snapshotOf,
  toAggregate,
  unviewedReaders,
} from './recount.ts'
import { Deriving, deriveRows, inGroups } from './rederive.ts'
import { checkedState, dayKeys, type Engine, makeKey, readState, type State } from './state.ts'
import { pairs, type RecountedDays, recountDays } from './verify.ts'

/** So many views are what posts have that are put right together; so many readers are dropped by one statement. */
const VIEWS_AT_ONCE = 300_000
const READERS_AT_ONCE = 20_000

/** @throws {StoreRefused} for other settings than recorded, unless they are adopted; for days whose raw rows are gone */
export async function rebuild(
  engine: Engine,
  options: RebuildOptions,
  progress: Progress = () => {},
): Promise<Rebuilt> {
  const { rawFrom } = await readState(engine.cluster)
  const gone = [options.from, options.to].find(day => day !== undefined && rawFrom !== null && day < rawFrom)
  if (gone !== undefined) {
    throw new StoreRefused(
      `raw rows before ${rawFrom} are gone, so ${gone} cannot be counted again: begin with --from ${rawFrom}`,
    )
  }
  if (options.adoptSettings) await adoptSettings(engine, progress)
  const state = await checkedState(engine)

  let fixed = await rebuildRows(engine, state, progress)
  fixed += await completeLeftOvers(engine, state)
  const { from, to } = options.adoptSettings ? {} : options
  const isAsked = (day: Day) => (from === undefined || day >= from) && (to === undefined || day <= to)
  const groups = (await allDays(engine)).map(days => days.filter(isAsked))
  const total = groups.flat().length
  let done = 0
  for (const days of groups) {
    fixed += await rebuildDays(engine, state, days)
    done += days.length
    progress('days', done, total)
  }
  // Totals are sums over days, made when they are asked for.
  progress('posts', 0, 0)
  return { fixed, firstDay: latest(state.rawFrom, state.settingsSince) }
}

async function rebuildRows(engine: Engine, state: State, progress: Progress): Promise<number> {
  const shards = await engine.cluster.shards()
  const deriving = new Deriving(engine, state, await keysOfOpenDays(engine, state))
  let done = 0
  const fixed = await Promise.all(
    shards.map(async shard => {
      const changed = await deriveRows(shard, `epoch = ${state.epoch}`, row => {
        const derived = deriving.again(row)
        return differences('row', '', derived, row.derived).length === 0 ? null : { ...row, derived }
      })
      progress('rows', ++done, shards.length)
      return changed
    }),
  )
  return fixed.reduce((sum, changed) => sum + changed)
}

/** The keys there are, and new ones for the days of rows that should have one. */
export async function keysOfOpenDays({ cluster }: Engine, state: State): Promise<Map<Day, string>> {
  const first = await cluster.first()
  const keys = await dayKeys(first)
  const rows = await cluster.all(
    `SELECT DISTINCT day FROM ${cluster.from('SELECT DISTINCT day FROM post_view_deliveries')}`,
  )
  for (const day of rows.map(row => String(row['day']))) {
    if (!keys.has(day) && (state.openFrom === null || day >= state.openFrom)) {
      keys.set(day, await makeKey(first, day))
    }
  }
  return keys
}

/** Puts right whatever of the days differs. Returns how many things did. */
export async function rebuildDays(engine: Engine, state: State, days: readonly Day[]): Promise<number> {
  const before = await recountDays(engine, state, days)
  const readers = await rebuildReaders(engine, before)
  // Who is unique in what is counted meanwhile follows from the readers listed by now.
  const recounted = readers === 0 ? before : await recountDays(engine, state, days)
  for (const posts of inGroups(recounted.posts, ({ views }) => views, VIEWS_AT_ONCE)) {
    await rebuildPosts(engine, state, posts)
  }
  if (recounted.days.size > 0) await rebuildSite(engine, state, [...recounted.days])
  return new Set(before.differences.map(({ kind, name }) => `${kind} ${name}`)).size + readers
}

async function rebuildReaders(engine: Engine, { snapshot, readers }: RecountedDays): Promise<number> {
  const sum = (which: 'unlisted' | 'unviewed') =>
    readers.reduce((total, { [which]: count }) => total + count, 0)
  const [unlisted, unviewed] = [sum('unlisted'), sum('unviewed')]
  if (unviewed > 0) await dropReaders(engine, snapshot)
  if (unlisted > 0) await listReaders(engine, snapshot)
  return unlisted + unviewed
}

async function dropReaders(engine: Engine, snapshot: Snapshot): Promise<void> {
  const shards = await engine.cluster.shards()
  for (const readers of inGroups(await unviewedReaders(engine, snapshot), () => 1, READERS_AT_ONCE)) {
    const list = readers.map(
      ({ day, post, slice, visitor }) => `('${day}', ${quoted([post])}, ${slice}, toUUID('${visitor}'))`,
    )
    const statement = `
      DELETE FROM post_view_visitors WHERE (day, post_uuid, slice, visitor) IN (${list.join(', ')})
      SETTINGS lightweight_deletes_sync = 2`
    await Promise.all(shards.map(shard => shard.run(statement)))
  }
}

async function rebuildPosts(
  engine: Engine,
  state: State,
  posts: readonly Pick<Figure, 'day' | 'post'>[],
): Promise<void> {
  const snapshot = await snapshotOf(engine, state, [...new Set(posts.map(({ day }) => day))])
  const where = `(day, post_uuid) IN (${posts.map(({ day, post }) => `('${day}', ${quoted([post])})`).join(', ')})`
  const { figures } = await expectedFigures(engine, snapshot, 'batch', where)
  await writeFigures(engine, figures, await postFigures(engine, snapshot, 'batch', where))
}

/** What each batch adds to the site is the sum of what it adds to posts. */
async function rebuildSite(engine: Engine, state: State, days: readonly Day[]): Promise<void> {
  const snapshot = await snapshotOf(engine, state, days)
  const expected = await postFiguresAsSite(engine, snapshot)
  await writeFigures(engine, expected, await siteFigures(engine, snapshot, 'batch'))
}

/** Writes the figures of batches that are other than expected in their next version; all of a shard in one insert. */
async function writeFigures(
  { cluster }: Engine,
  expected: ReadonlyMap<string, Figure>,
  stored: ReadonlyMap<string, Figure>,
): Promise<void> {
  const shards = await cluster.shards()
  const lines: string[][] = shards.map(() => [])
  const now = Math.floor(Date.now() / 1_000)
  for (const [wanted, found] of pairs(expected, stored)) {
    const figures = wanted?.aggregate ?? toAggregate({})
    if (differences('aggregate', '', figures, found?.aggregate ?? toAggregate({})).length === 0) continue
    const { kind, batch, day, post, host } = (wanted ?? found)!
    const version = found === undefined ? 0 : found.version + 1
    const line = JSON.stringify([kind, post, day, host, 0, batch, version, ...Object.values(figures), now])
    lines[homeOf(batch, shards.length)]!.push(line)
  }
  for (const [index, shard] of shards.entries()) {
    // Over several months this is several parts; whoever is interrupted begins again.
    if (lines[index]!.length > 0) {
      await shard.insert('post_view_figures', FIGURE_COLUMNS, lines[index]!.join('\n'))
    }
  }
}
