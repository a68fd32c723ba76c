/** Makes what is counted what a recount says. A day at a time, each in one transaction that no batch overlaps. */

import { type Day, latest } from '../calendar.ts'
import { BotList } from '../row.ts'
import {
  AGREEMENT_REPLACED,
  type Progress,
  type RebuildOptions,
  type Rebuilt,
  StoreRefused,
} from '../store.ts'
import { adoptSettings } from './adopt-settings.ts'
import { checkAgreement } from './agreement.ts'
import { makeKey } from './day-keys.ts'
import {
  type Aggregate,
  aggregatesOfDay,
  allDays,
  differences,
  type Pair,
  type StoredAggregate,
  siteDay,
  storedAggregates,
  visitorsThatDiffer,
} from './recount.ts'
import { rebuildReferrers } from './referrers.ts'
import { type Derived, dayKeys, deriveAgain, isOpen, type RawRow, rawRows } from './rows.ts'
import { SELECT_STATE, type SqlClient, type SqlEngine, type State, toState } from './sql.ts'
import { totalsAfter, writeTotals } from './totals.ts'

/** @throws {StoreRefused} for other settings or zone rules than recorded, unless they are adopted; for days whose raw rows are gone */
export async function rebuild(
  given: SqlEngine,
  options: RebuildOptions,
  progress: Progress = () => {},
): Promise<Rebuilt> {
  const { rawFrom } = toState((await given.reader.all(SELECT_STATE))[0]!)
  const gone = [options.from, options.to].find(day => day !== undefined && rawFrom !== null && day < rawFrom)
  if (gone !== undefined) {
    throw new StoreRefused(
      `raw rows before ${rawFrom} are gone, so ${gone} cannot be counted again: begin with --from ${rawFrom}`,
    )
  }
  if (options.adoptSettings) await adoptSettings(given, progress)
  const engine = whileAgreed(given, await checkAgreement(given))
  const state = toState((await engine.reader.all(SELECT_STATE))[0]!)

  let fixed = await rebuildRows(engine, progress)
  const { from, to } = options.adoptSettings ? {} : options
  const days = (await allDays(engine.reader)).filter(
    day => (from === undefined || day >= from) && (to === undefined || day <= to),
  )
  for (const [index, day] of days.entries()) {
    fixed += await engine.exclusive((client, now) => rebuildDay(engine, client, now, day))
    fixed += await rebuildReferrers(engine, day, () => progress('days', index, days.length))
    progress('days', index + 1, days.length)
  }
  fixed += await rebuildTotals(engine, progress)
  return { fixed, firstDay: latest(state.rawFrom, state.settingsSince) }
}

/** What is put right by one's own calendar must not be, once others count by another. */
function whileAgreed(engine: SqlEngine, agreement: number): SqlEngine {
  return {
    ...engine,
    exclusive: work =>
      engine.exclusive((client, state) => {
        if (state.agreement !== agreement) throw new StoreRefused(AGREEMENT_REPLACED)
        return work(client, state)
      }),
  }
}

async function rebuildRows(engine: SqlEngine, progress: Progress): Promise<number> {
  const [count] = await engine.reader.all('SELECT COUNT(*) AS views FROM post_views')
  const total = Number(count!['views'])
  const bots = new BotList()
  let fixed = 0
  let done = 0
  for await (const rows of rawRows(engine, engine.reader)) {
    const keys = await dayKeys(engine.reader)
    const state = toState((await engine.reader.all(SELECT_STATE))[0]!)
    const wrong = rows.filter(row =>
      isWrong(
        row,
        deriveAgain(row, engine, state, keys, agent => bots.isBot(agent)),
      ),
    )
    if (wrong.length > 0) {
      fixed += await engine.exclusive((client, now) => fixRows(engine, client, now, wrong, bots))
    }
    done += rows.length
    progress('rows', Math.min(done, total), total)
  }
  return fixed
}

function isWrong(row: RawRow, expected: Derived): boolean {
  return differences('row', '', expected, row.derived).length > 0
}

// The rows are read again: since they were found wrong, somebody may have pruned, or erased what identified a reader.
async function fixRows(
  engine: SqlEngine,
  client: SqlClient,
  state: State,
  wrong: readonly RawRow[],
  bots: BotList,
): Promise<number> {
  const keys = await dayKeys(client)
  let fixed = 0
  for (const { id } of wrong) {
    for await (const rows of rawRows(engine, client, { where: 'id = ?', values: [id] })) {
      for (const row of rows) {
        const isBot = (agent: string | null) => bots.isBot(agent)
        const { day } = deriveAgain(row, engine, state, keys, isBot)
        // The first row of a day that nothing else was counted on, by somebody who knows of no keys.
        if (day !== null && !keys.has(day) && (await isOpen(client, state.openFrom, day))) {
          keys.set(day, await makeKey(client, day))
        }
        fixed += await writeDerived(engine, client, row, deriveAgain(row, engine, state, keys, isBot))
      }
    }
  }
  return fixed
}

/** Writes the derived columns of one row. A row nobody had counted, and that was not adopted, counts from now on. */
export function writeDerived(
  engine: SqlEngine,
  client: SqlClient,
  row: RawRow,
  derived: Derived,
): Promise<number> {
  const uncounted = row.derived.day === null
  return client.run(
    `UPDATE post_views
     SET post_uuid = ?, viewed_at = viewed_at, received_at = ?, day = ?, slice = ?, logged_in = ?, bot = ?,
         visitor = ${derived.visitor === null ? 'NULL' : `x'${derived.visitor}'`}, referer_host = ?
     WHERE id = ?`,
    [
      derived.post_uuid,
      row.receivedAt !== null
        ? engine.toTime(row.receivedAt)
        : uncounted
          ? engine.toTime(row.viewedAt)
          : null,
      derived.day,
      derived.slice,
      derived.logged_in,
      derived.bot,
      derived.referer_host,
      row.id,
    ],
  )
}

async function rebuildDay(engine: SqlEngine, client: SqlClient, state: State, day: Day): Promise<number> {
  let fixed = 0
  if (state.rawFrom === null || day >= state.rawFrom) {
    const aggregates = await aggregatesOfDay(engine, client, day)
    const wrong = aggregates.filter(
      ({ expected, found }) => differences('aggregate', '', expected, found).length > 0,
    )
    for (const pair of wrong) await fixAggregate(client, day, pair)
    // Totals follow in the same transaction: no reader sees days that do not add up to them.
    await writeTotals(
      client,
      wrong.map(({ key }) => key),
    )
    fixed += wrong.length
    for (const { key, expected } of await visitorsThatDiffer(engine, client, state, day)) {
      const visitor = `x'${key.visitor}'`
      await (expected === null
        ? client.run(
            `DELETE FROM post_view_visitors WHERE day = ? AND post_uuid = ? AND slice = ? AND visitor = ${visitor}`,
            [day, key.post, key.slice],
          )
        : client.run(
            `INSERT INTO post_view_visitors (day, post_uuid, slice, visitor) VALUES (?, ?, ?, ${visitor})`,
            [day, key.post, key.slice],
          ))
      fixed++
    }
  }
  fixed += await rebuildSite(client, day)
  // Whoever keeps what was read of a day in memory learns from this that it was changed.
  if (fixed > 0) await client.run('UPDATE post_view_rebuilds SET rebuilds = rebuilds + 1 WHERE id = 1')
  return fixed
}

async function fixAggregate(
  client: SqlClient,
  day: Day,
  { key, expected, found }: Pair<string, StoredAggregate>,
): Promise<void> {
  if (expected === null) {
    await client.run('DELETE FROM post_view_aggregates WHERE post_uuid = ? AND date = ?', [key, day])
  } else if (found === null) {
    await client.run(
      `INSERT INTO post_view_aggregates
         (view_count, unique_views, logged_in, bots, first_viewed_at, last_viewed_at, post_uuid, date)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      [...numbersOf(expected), key, day],
    )
  } else {
    await client.run(
      `UPDATE post_view_aggregates
       SET view_count = ?, unique_views = ?, logged_in = ?, bots = ?, first_viewed_at = ?, last_viewed_at = ?
       WHERE post_uuid = ? AND date = ?`,
      [...numbersOf(expected), key, day],
    )
  }
}

function numbersOf(aggregate: Aggregate) {
  const { view_count, unique_views, logged_in, bots, first_viewed_at, last_viewed_at } = aggregate
  return [view_count, unique_views, logged_in, bots, first_viewed_at, last_viewed_at]
}

/** Sums up the site's day again. Returns how much of it was wrong. */
export async function rebuildSite(client: SqlClient, day: Day): Promise<number> {
  let fixed = 0
  const { expected, found } = await siteDay(client, day, await storedAggregates(client, day))
  if (differences('site_aggregate', '', expected, found).length > 0) {
    await client.run('DELETE FROM site_view_aggregates WHERE date = ?', [day])
    if (expected !== null) {
      await client.run(
        `INSERT INTO site_view_aggregates
           (view_count, unique_views, logged_in, bots, first_viewed_at, last_viewed_at, date)
         VALUES (?, ?, ?, ?, ?, ?, ?)`,
        [...numbersOf(expected), day],
      )
    }
    fixed++
  }
  return fixed
}

async function rebuildTotals(engine: SqlEngine, progress: Progress): Promise<number> {
  const [count] = await engine.reader.all('SELECT COUNT(*) AS posts FROM post_view_totals')
  const posts = Number(count!['posts'])
  let fixed = 0
  let done = 0
  let after: string | null = ''
  while (after !== null) {
    const from: string = after
    const chunk = await engine.exclusive(async client => {
      const { pairs, last } = await totalsAfter(client, from)
      const wrong = pairs.filter(
        ({ key, expected, found }) => differences('total', key, expected, found).length > 0,
      )
      await writeTotals(
        client,
        wrong.map(({ key }) => key),
      )
      return { last, seen: pairs.length, wrong: wrong.length }
    })
    fixed += chunk.wrong
    done += chunk.seen
    progress('posts', Math.min(done, posts), posts)
    after = chunk.last
  }
  return fixed
}
