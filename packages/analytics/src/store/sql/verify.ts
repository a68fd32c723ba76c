/** Compares what is counted with a recount, all in one snapshot. Changes nothing. */

import type { Day } from '../calendar.ts'
import { BotList } from '../row.ts'
import type { Difference, Progress } from '../store.ts'
import {
  type Aggregate,
  aggregatesOfDay,
  allDays,
  differences,
  type StoredAggregate,
  siteDay,
  storedAggregates,
  visitorsThatDiffer,
} from './recount.ts'
import { verifyReferrers } from './referrers.ts'
import { dayKeys, deriveAgain, rawRows } from './rows.ts'
import { SELECT_STATE, type SqlClient, type SqlEngine, type State, toState } from './sql.ts'
import { correctedTotals, totalsAfter } from './totals.ts'

/** Hands every difference to `found` as it comes. */
export function verify(
  engine: SqlEngine,
  found: (difference: Difference) => void,
  progress: Progress = () => {},
): Promise<void> {
  return engine.snapshot(async client => {
    const state = toState((await client.all(SELECT_STATE))[0]!)
    const report = (list: Difference[]) => list.forEach(found)
    await verifyRows(engine, client, state, report, progress)
    const corrected = await verifyDays(engine, client, state, report, progress)
    await verifyTotals(client, corrected, report, progress)
  })
}

type Report = (differences: Difference[]) => void

/** What posts' days must be, where they are not: sums are held against these, so that one mistake is named once. */
type Corrected = Map<string, Map<Day, StoredAggregate | null>>

async function verifyRows(
  engine: SqlEngine,
  client: SqlClient,
  state: State,
  report: Report,
  progress: Progress,
): Promise<void> {
  const [count] = await client.all('SELECT COUNT(*) AS views FROM post_views')
  const total = Number(count!['views'])
  const keys = await dayKeys(client)
  const bots = new BotList()
  let done = 0
  for await (const rows of rawRows(engine, client)) {
    for (const row of rows) {
      const expected = deriveAgain(row, engine, state, keys, userAgent => bots.isBot(userAgent))
      report(differences('row', `row ${row.id}`, expected, row.derived))
    }
    done += rows.length
    progress('rows', done, total)
  }
}

async function verifyDays(
  engine: SqlEngine,
  client: SqlClient,
  state: State,
  report: Report,
  progress: Progress,
): Promise<Corrected> {
  const corrected: Corrected = new Map()
  const days = await allDays(client)
  for (const [index, day] of days.entries()) {
    let posts: Aggregate[]
    // Of days whose raw rows are gone, only the sums can be proven.
    if (state.rawFrom !== null && day < state.rawFrom) {
      posts = await storedAggregates(client, day)
    } else {
      const aggregates = await aggregatesOfDay(engine, client, day)
      posts = aggregates.map(({ expected }) => expected).filter(expected => expected !== null)
      for (const { key, expected, found } of aggregates) {
        const wrong = differences('aggregate', `post ${key} on ${day}`, expected, found)
        report(wrong)
        if (wrong.length === 0) continue
        const ofPost = corrected.get(key) ?? new Map<Day, StoredAggregate | null>()
        corrected.set(key, ofPost.set(day, expected))
      }
      for (const { key, expected, found } of await visitorsThatDiffer(engine, client, state, day)) {
        const name = `visitor ${key.visitor.toLowerCase()} of post ${key.post} on ${day}, window ${key.slice}`
        report(differences('visitor', name, asCount(expected), asCount(found)))
      }
    }
    const site = await siteDay(client, day, posts)
    report(differences('site_aggregate', `site on ${day}`, site.expected, site.found))
    report(await verifyReferrers(engine, client, state, day, () => progress('days', index, days.length)))
    progress('days', index + 1, days.length)
  }
  return corrected
}

function asCount(count: number | null): { view_count: number } | null {
  return count === null ? null : { view_count: count }
}

async function verifyTotals(
  client: SqlClient,
  corrected: Corrected,
  report: Report,
  progress: Progress,
): Promise<void> {
  const [count] = await client.all('SELECT COUNT(*) AS posts FROM post_view_totals')
  const posts = Number(count!['posts'])
  const totals = await correctedTotals(client, corrected)
  let after: string | null = ''
  let done = 0
  while (after !== null) {
    const { pairs, last } = await totalsAfter(client, after)
    for (const { key, expected, found } of pairs) {
      const total = totals.has(key) ? totals.get(key)! : expected
      report(differences('total', `post ${key}`, total, found))
      totals.delete(key)
    }
    done += pairs.length
    progress('posts', Math.min(done, posts), posts)
    after = last
  }
  // Posts of which neither a day nor a total is left.
  for (const [post, total] of totals) report(differences('total', `post ${post}`, total, null))
}
