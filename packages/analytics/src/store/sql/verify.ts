/**
 * Compares the counters with a recount, and changes nothing. Each day is read in one snapshot with everything that depends on it,
 * and so is each group of totals with the days that they sum up. So changes between two snapshots are not differences, and no
 * snapshot is held for long.
 */

import { BotList } from '../../derive/machines.ts'
import type { Day } from '../days.ts'
import { deriveAgain, type RawRow } from '../derive-again.ts'
import { differences } from '../differences.ts'
import { AGREEMENT_REPLACED, StoreRefused } from '../failures.ts'
import type { Difference, Progress, Verified } from '../store.ts'
import { checkAgreement } from './agreement.ts'
import { verifyBreakdowns } from './breakdown-compare.ts'
import { DayRecount } from './day-recount.ts'
import {
  type Aggregate,
  allDays,
  boundsOf,
  hasRows,
  readersAreListed,
  SumOfAggregates,
  storedSite,
  sumOfStored,
} from './recount.ts'
import { dayKeys, rowsAbout, rowsBetween } from './rows.ts'
import { verifySchema } from './schema-check.ts'
import { SELECT_STATE, type SqlClient, type SqlEngine, type State, toState } from './sql.ts'
import { correctedTotals, totalsAfter, type WrongDays } from './totals.ts'

/** Hands every difference to `found` as it comes. */
export async function verify(
  engine: SqlEngine,
  found: (difference: Difference) => void,
  progress: Progress = () => {},
): Promise<Verified> {
  await verifySchema(engine, found)
  const recount = new DayRecount(engine, false)
  try {
    const verifier = new Verifier(engine, recount, found, progress)
    const verified = await verifier.days()
    await verifier.totals()
    return verified
  } finally {
    recount.close()
  }
}

// On SQLite, a snapshot is a thread of its own: small days, and groups of totals, share one.
const SNAPSHOT_MS = 1_000

/** Calls `work` until it is done. Several calls share a snapshot until that is `SNAPSHOT_MS` old. */
async function inSnapshots(
  engine: SqlEngine,
  work: (client: SqlClient) => Promise<{ isDone: boolean }>,
): Promise<void> {
  for (let isDone = false; !isDone; ) {
    await engine.snapshot(async client => {
      const began = performance.now()
      while (!isDone && performance.now() - began < SNAPSHOT_MS) isDone = (await work(client)).isDone
    })
  }
}

class Verifier {
  readonly #engine: SqlEngine
  readonly #recount: DayRecount
  readonly #found: (difference: Difference) => void
  readonly #progress: Progress
  readonly #bots = new BotList()
  /** Wrong days of posts: totals are compared with what their days must be, so that one mistake is reported once. */
  readonly #wrong = new Map<string, WrongDays>()
  #rows = 0

  constructor(
    engine: SqlEngine,
    recount: DayRecount,
    found: (difference: Difference) => void,
    progress: Progress,
  ) {
    this.#engine = engine
    this.#recount = recount
    this.#found = found
    this.#progress = progress
  }

  #report(list: readonly Difference[]): void {
    list.forEach(difference => {
      this.#found(difference)
    })
  }

  async days(): Promise<Verified> {
    const { reader } = this.#engine
    const agreement = await checkAgreement(this.#engine)
    const total = await rowsAbout(reader)
    // Iterating a Set also yields what is added meanwhile: days that only a row names whose moment lies on another day.
    const days = new Set(await allDays(this.#engine, reader))
    const next = days.values()
    let done = 0
    await inSnapshots(this.#engine, async client => {
      const { value: day } = next.next()
      if (day === undefined) return { isDone: true }
      const state = await stateOf(client)
      // Under other settings or rules, everything would look wrong.
      if (state.agreement !== agreement) throw new StoreRefused(AGREEMENT_REPLACED)
      const before = this.#rows
      await this.#verifyDay(client, state, day, {
        says: named => days.add(named),
        step: () => this.#progress('rows', this.#rows, Math.max(total, this.#rows)),
      })
      done++
      // One progress bar at a time: a day with rows is reported by its rows.
      if (this.#rows === before) this.#progress('days', done, days.size)
      return { isDone: done === days.size }
    })
    this.#progress('rows', this.#rows, this.#rows)
    this.#progress('days', done, days.size)
    return { days: done, rows: this.#rows }
  }

  async #verifyDay(
    client: SqlClient,
    state: State,
    day: Day,
    { says, step }: { says: (day: Day) => void; step: () => void },
  ): Promise<void> {
    const keys = await dayKeys(client)
    const look = (rows: readonly RawRow[]) => {
      for (const row of rows) {
        const expected = deriveAgain(row, this.#engine, state, keys, agent => this.#bots.isBot(agent))
        this.#report(differences('row', `row ${row.id}`, expected, row.derived))
        if (row.derived.day !== null && row.derived.day !== day) says(row.derived.day)
      }
      this.#rows += rows.length
      step()
    }
    let site: Aggregate | null
    if (hasRows(state, day)) {
      const listed = await readersAreListed(client, state, day)
      await this.#recount.read(client, day, { readersAreListed: listed, look })
      site = await this.#verifyPosts(day)
      if (listed) await this.#verifyReaders(day)
    } else {
      // If the day's raw rows are gone, only its sums can be checked, and the derived columns of the remaining rows.
      const { start, end } = boundsOf(this.#engine, day)
      for await (const rows of rowsBetween(this.#engine, client, start, end)) look(rows)
      site = await sumOfStored(client, day)
    }
    this.#report(differences('site_aggregate', `site on ${day}`, site, await storedSite(client, day)))
    this.#report(await verifyBreakdowns(this.#engine, client, state, day, step))
  }

  /** Returns the sum of what they must be. */
  async #verifyPosts(day: Day): Promise<Aggregate | null> {
    const sum = new SumOfAggregates()
    for await (const { key, expected, found } of this.#recount.wrongPosts(sum)) {
      this.#report(differences('aggregate', `post ${key} on ${day}`, expected, found))
      const ofPost = this.#wrong.get(key) ?? new Map()
      this.#wrong.set(key, ofPost.set(day, { expected, found }))
    }
    return sum.value
  }

  async #verifyReaders(day: Day): Promise<void> {
    for await (const { key, expected, found } of this.#recount.wrongReaders()) {
      const name = `visitor ${key.visitor.toLowerCase()} of post ${key.post} on ${day}, window ${key.slice}`
      this.#report(differences('visitor', name, expected, found))
    }
  }

  async totals(): Promise<void> {
    const engine = this.#engine
    const [count] = await engine.reader.all('SELECT COUNT(*) AS posts FROM post_view_totals')
    const posts = Number(count!['posts'])
    const wrong = new Map(this.#wrong)
    let after = ''
    let done = 0
    await inSnapshots(engine, async client => {
      const { pairs, last } = await totalsAfter(engine, client, after)
      const wrongHere = new Map(
        pairs.flatMap(({ key }) => (wrong.has(key) ? [[key, wrong.get(key)!] as const] : [])),
      )
      const right = await correctedTotals(engine, client, wrongHere)
      for (const { key, expected, found } of pairs) {
        // A total that is unknown until its day is corrected is left to the next run.
        if (wrong.delete(key) && !right.has(key)) continue
        const total = right.has(key) ? right.get(key)! : expected
        this.#report(differences('total', `post ${key}`, total, found))
      }
      done += pairs.length
      this.#progress('posts', Math.min(done, posts), posts)
      if (last !== null) {
        after = last
        return { isDone: false }
      }
      // Posts of which neither a day nor a total is left.
      for (const [post, total] of await correctedTotals(engine, client, wrong)) {
        this.#report(differences('total', `post ${post}`, total, null))
      }
      return { isDone: true }
    })
  }
}

async function stateOf(client: SqlClient): Promise<State> {
  return toState((await client.all(SELECT_STATE))[0]!)
}
