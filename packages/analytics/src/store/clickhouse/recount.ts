/** Compares the figures with a recount of the rows, and corrects them. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Countries } from '../../derive/countries.ts'
import { Who } from '../../derive/who.ts'
import { isAsked, refuseNoDays } from '../asked-days.ts'
import { type Day, latest } from '../days.ts'
import { StoreRefused } from '../failures.ts'
import type { Difference, Progress, RebuildOptions, Rebuilt, Verified } from '../store.ts'
import { type Derivation, textsToDerive } from '../who-again.ts'
import { adoptSettings, rawFrom } from './adopt-settings.ts'
import {
  corrected,
  type Differing,
  dayOfKey,
  differencesOf,
  differingIn,
  lackingFields,
  postOfKey,
  postsOfDays,
  siteOfDays,
  TOTALS,
  valuesOfPosts,
} from './compared.ts'
import { FIGURES, NOTHING, SAYS, type Sources } from './count.ts'
import { deriveAgain, derivedOf, type HourGroup, hourGroups } from './derive.ts'
import { closedDays, type DayKey, dayKey, dayKeys } from './keys.ts'
import { exclusively } from './lease.ts'
import { rebuildWho } from './rebuild-who.ts'
import {
  allSources,
  countPosts,
  countSite,
  countTotals,
  inSteps,
  isSettled,
  rollingOf,
  rollShard,
} from './roll.ts'
import { differingSiteValues, siteBreakdowns } from './site-breakdowns.ts'
import { checkedState, type Engine, type State } from './state.ts'

/** Settles only after every shard has: retries while one shard is away must not pile up rolls on the others. */
export async function rollAll(engine: Engine): Promise<boolean> {
  const shards = await engine.cluster.shards()
  const rolls = await Promise.allSettled(shards.map(shard => rollShard(engine, shard)))
  const failed = rolls.find(roll => roll.status === 'rejected')
  if (failed !== undefined) throw failed.reason
  return rolls.some(roll => roll.status === 'fulfilled' && roll.value)
}

/**
 * While others record and count, the compared data may be of different moments. So every difference is counted and
 * compared again: a real error stays the same, while rows that were only not counted yet change it.
 */
export async function verify(
  engine: Engine,
  found: (difference: Difference) => void,
  progress: Progress = () => {},
): Promise<Verified> {
  const state = await checkedState(engine)
  await rollAll(engine)
  await siteBreakdowns(engine)
  const rows = await rowsThatDiffer(engine, state, progress)
  for (const difference of [...rows.found, ...(await idsOfSeveral(engine))]) found(difference)

  const sources = await allSources(engine)
  const days = await allDays(engine)
  const wrong: Differing[] = []
  /** The site's day is on every shard: a difference is reported once. */
  const told = new Set<string>()
  const tell = (differing: readonly Differing[]) => {
    for (const difference of differing.flatMap(differencesOf)) {
      const place = `${difference.kind} ${difference.name} ${difference.field}`
      if (!told.has(place)) found(difference)
      told.add(place)
    }
  }
  let done = 0
  for (const some of await inSteps(await engine.cluster.first(), engine, days)) {
    const differing = await certain(engine, sources, now => differingOfDays(engine, now, some))
    tell(differing)
    wrong.push(...differing)
    done += some.length
    progress('days', done, days.length)
  }
  if (days.length === 0) progress('days', 0, 0)
  tell(await certain(engine, sources, () => differingTotals(engine, wrong)))
  progress('posts', 1, 1)
  return { days: days.length, rows: rows.rows }
}

/** The differences that stay the same after everything that came meanwhile was counted. */
async function certain(
  engine: Engine,
  all: readonly Sources[],
  compare: (all: readonly Sources[]) => Promise<Differing[]>,
): Promise<Differing[]> {
  let differing = await compare(all)
  for (let again = 0; again < 2 && differing.length > 0; again++) {
    await rollAll(engine)
    await siteBreakdowns(engine)
    if (again > 0) await sleep(100)
    const before = new Set(differing.map(one => JSON.stringify(one)))
    differing = (await compare(await allSources(engine))).filter(one => before.has(JSON.stringify(one)))
  }
  return differing
}

async function differingOfDays(
  engine: Engine,
  all: readonly Sources[],
  days: readonly Day[],
  countsAnew = false,
): Promise<Differing[]> {
  const shards = await engine.cluster.shards()
  const settled = days.filter(day => isSettled(all[0]!, day))
  const ofShards = await Promise.all(
    shards.map(async (shard, index) => {
      const sources = all[index]!
      const posts = await differingIn(shard, postsOfDays(sources, days), countsAnew)
      const site = corrected(
        await differingIn(shard, siteOfDays(days), countsAnew),
        posts,
        sum => part => dayOfKey(part.key) === dayOfKey(sum.key),
      )
      const values = settled.length > 0 ? await differingIn(shard, valuesOfPosts(sources, settled)) : []
      return [...posts, ...site, ...values]
    }),
  )
  const differing = [...ofShards.flat(), ...(await differingSiteValues(engine, all, days))]
  return differing.sort((a, b) =>
    dayOfKey(a.key) < dayOfKey(b.key) ? -1 : dayOfKey(a.key) > dayOfKey(b.key) ? 1 : 0,
  )
}

/** @param days the differences of the days that the totals add up */
async function differingTotals(
  { cluster }: Engine,
  days: readonly Differing[],
  countsAnew = false,
): Promise<Differing[]> {
  const parts = days.filter(({ kind }) => kind === 'aggregate')
  const shards = await cluster.shards()
  const lists = await Promise.all(shards.map(shard => differingIn(shard, TOTALS, countsAnew)))
  return corrected(lists.flat(), parts, sum => part => postOfKey(part.key) === sum.key)
}

/** Every day with any data, oldest first. */
async function allDays({ cluster }: Engine): Promise<Day[]> {
  const days = new Set<Day>()
  const tables = ['post_view_rows', 'post_view_bases', 'post_view_breakdowns']
  for (const shard of await cluster.shards()) {
    const rows = await shard.all(
      `SELECT DISTINCT day FROM (${[
        ...tables.map(table => `SELECT day FROM ${table}`),
        ...['post_view_days', 'post_view_site_days'].map(
          table => `SELECT day FROM ${table} FINAL WHERE ${SAYS}`,
        ),
      ].join(' UNION ALL ')})`,
    )
    for (const row of rows) days.add(String(row['day']))
  }
  return [...days].sort()
}

/** As SQL: whether the derived columns of a row are wrong, and what they should be. */
function differingColumns(engine: Engine, state: State, keys: ReadonlyMap<Day, DayKey>, group: HourGroup) {
  const { given, loggedIn, key: _, ...derived } = derivedOf(engine, state, keys, group)
  const pairs = { ...derived, logged_in: loggedIn }
  const differs = Object.entries(pairs).map(([column, other]) => `${column} != ${other}`)
  return { given, pairs, differs: `(${differs.join(' OR ')})` }
}

async function rowsThatDiffer(
  engine: Engine,
  state: State,
  progress: Progress,
): Promise<{ found: Difference[]; rows: number }> {
  const keys = await dayKeys(engine.cluster)
  const found: Difference[] = []
  const groupsOf = await Promise.all(
    (await engine.cluster.shards()).map(async shard => ({ shard, groups: await hourGroups(shard) })),
  )
  const total = groupsOf.flatMap(({ groups }) => groups).reduce((sum, { rows }) => sum + rows, 0)
  let [done, rows] = [0, 0]
  for (const { shard, groups } of groupsOf) {
    for (const group of groups) {
      const { given, pairs, differs } = differingColumns(engine, state, keys, group)
      const columns = Object.entries(pairs).map(
        ([column, other]) => `[toString(${column}), toString(${other})]`,
      )
      const source = `(SELECT * FROM post_view_rows FINAL WHERE ${group.hours})`
      const [counted] = await shard.all(
        `WITH ${given} SELECT count() AS views, countIf(${differs}) AS differing FROM ${source}`,
      )
      const differing =
        Number(counted!['differing']) === 0
          ? []
          : await shard.all(
              `WITH ${given} SELECT id, [${columns.join(', ')}] AS pairs FROM ${source} WHERE ${differs} ORDER BY id`,
            )
      rows += Number(counted!['views'])
      for (const row of differing) {
        const values = (row['pairs'] as [string, string][]).map(([is, should], index) => ({
          field: Object.keys(pairs)[index]!,
          is,
          should,
        }))
        for (const { field, is, should } of values.filter(({ is, should }) => is !== should))
          found.push({ kind: 'row', name: `row ${row['id']}`, field, expected: should, found: is })
      }
      done += group.rows
      progress('rows', done, total)
    }
  }
  if (total === 0) progress('rows', 0, 0)
  return { found, rows }
}

/** An id names one view. Sent again with another post or time, it has several rows. */
async function idsOfSeveral({ cluster }: Engine): Promise<Difference[]> {
  const rows = await cluster.all(
    `SELECT id, uniqExact((hour, post)) AS views
     FROM ${cluster.from('SELECT DISTINCT id, hour, post FROM post_view_rows WHERE has_id')} AS ids
     GROUP BY id HAVING count() > 1 AND views > 1 ORDER BY id`,
  )
  return rows.map(row => ({
    kind: 'id',
    name: `id ${row['id']}`,
    field: 'views',
    expected: 1,
    found: Number(row['views']),
  }))
}

/**
 * @param countries null: they are switched off
 * @throws {StoreRefused} for other settings than recorded, unless they are adopted; for days whose raw rows are gone; for countries to
 *   derive where they are switched off
 */
export async function rebuild(
  engine: Engine,
  countries: Countries | null,
  options: RebuildOptions,
  progress: Progress = () => {},
): Promise<Rebuilt> {
  const texts = textsToDerive(options.derive ?? [], countries)
  const from = await rawFrom(engine)
  const gone = [options.from, options.to].find(day => day !== undefined && from !== null && day < from)
  if (gone !== undefined) {
    throw new StoreRefused(
      `raw rows before ${from} are gone, so ${gone} cannot be recounted: begin with --from ${from}`,
    )
  }
  refuseNoDays(options, await allDays(engine))
  return exclusively(engine, () => rebuildAll(engine, countries, texts, options, progress))
}

async function rebuildAll(
  engine: Engine,
  countries: Countries | null,
  texts: Derivation['texts'],
  options: RebuildOptions,
  progress: Progress,
): Promise<Rebuilt> {
  const { adoptSettings: adopts } = options
  if (adopts) await adoptSettings(engine, progress)
  const state = await checkedState(engine)
  await rollAll(engine)
  let fixed = await rebuildRows(engine, state, progress)
  const days = (await allDays(engine)).filter(day => adopts || isAsked(options, day))
  const from = await rawFrom(engine)
  const countable = days.filter(day => from === null || day >= from)
  const who = new Who({ countries, ownHosts: state.ownHosts })
  const derived = texts.size === 0 ? 0 : await rebuildWho(engine, state, { who, texts }, countable, progress)
  await rollAll(engine)
  const sources = await allSources(engine)
  const wrongDays: Differing[] = []
  let done = 0
  for (const some of await inSteps(await engine.cluster.first(), engine, days)) {
    wrongDays.push(...(await certain(engine, sources, now => differingOfDays(engine, now, some, true))))
    done += some.length
    progress('days', done, 2 * days.length)
  }
  const wrongTotals = await certain(engine, sources, () => differingTotals(engine, wrongDays, true))
  fixed += [...wrongDays, ...wrongTotals].flatMap(one => [
    ...differencesOf(one),
    ...lackingFields(one),
  ]).length
  const isWrong = new Set(wrongDays.map(({ key }) => dayOfKey(key)))
  for (const day of days) {
    if (isWrong.has(day)) await countAgain(engine, day)
    progress('days', ++done, 2 * days.length)
  }
  if (days.length === 0) progress('days', 0, 0)
  if (wrongTotals.length > 0) await countAllTotals(engine)
  progress('posts', 1, 1)
  return {
    fixed,
    derived,
    days: countable.length,
    firstDay: latest(from, state.settingsSince),
  }
}

/** Counts a day, and the totals that include it, so that they add up even if this is interrupted. */
async function countAgain(engine: Engine, day: Day): Promise<void> {
  const stored = ['post_view_days', 'post_view_breakdowns'].map(
    table => `SELECT post FROM ${table} WHERE day = '${day}'`,
  )
  for (const shard of await engine.cluster.shards()) {
    await countPosts(shard, await rollingOf(engine, shard), [day], 'true', stored.join(' UNION DISTINCT '))
    // Somebody may have added up the old figures meanwhile, under a later stamp than the first.
    const rolling = await rollingOf(engine, shard)
    await countSite(shard, rolling, [day])
    await countTotals(shard, rolling, `post IN (SELECT post FROM post_view_days WHERE day = '${day}')`)
  }
  await siteBreakdowns(engine, [day])
}

/** Sums of the days of all posts, also of posts that have none any more. */
async function countAllTotals(engine: Engine): Promise<void> {
  for (const shard of await engine.cluster.shards()) {
    const { stamp } = await rollingOf(engine, shard)
    await countTotals(shard, { stamp }, 'true')
    await shard.run(
      `INSERT INTO post_view_post_totals (post, ${FIGURES}, stamp)
       SELECT post, ${NOTHING}, ${stamp} FROM post_view_post_totals FINAL
       WHERE ${SAYS} AND post NOT IN (SELECT post FROM post_view_days)`,
    )
  }
}

async function rebuildRows(engine: Engine, state: State, progress: Progress): Promise<number> {
  const keys = await dayKeys(engine.cluster)
  const closed = await closedDays(engine.cluster)
  const groupsOf = await Promise.all(
    (await engine.cluster.shards()).map(async shard => ({ shard, groups: await hourGroups(shard) })),
  )
  const total = groupsOf.flatMap(({ groups }) => groups).length
  let [done, fixed] = [0, 0]
  for (const { shard, groups } of groupsOf) {
    for (const group of groups) {
      // A day with rows has a key, unless it was closed.
      const days = await shard.all(`SELECT DISTINCT day FROM post_view_rows FINAL WHERE ${group.hours}`)
      for (const day of days.map(row => String(row['day']))) {
        if (!keys.has(day) && !closed.has(day))
          keys.set(day, await dayKey(engine.cluster, day, async () => {}))
      }
      const { given, differs } = differingColumns(engine, state, keys, group)
      const wrong = `WITH ${given} SELECT id FROM (SELECT * FROM post_view_rows FINAL WHERE ${group.hours}) WHERE ${differs}`
      fixed += await deriveAgain(engine, shard, state, keys, group, `id IN (${wrong})`)
      progress('rows', ++done, total)
    }
  }
  if (total === 0) progress('rows', 0, 0)
  return fixed
}
