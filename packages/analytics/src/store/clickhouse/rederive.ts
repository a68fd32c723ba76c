/** The columns of a row that follow from the others: read, derived again, and written in place. */

import type { Day } from '../calendar.ts'
import { BotList } from '../row.ts'
import { type Derived, deriveAgain } from '../sql/rows.ts'
import { numbersOf } from './batch.ts'
import type { Row, Shard } from './connection.ts'
import { isServers } from './errors.ts'
import { newLabels } from './labels.ts'
import { dayKeys, type Engine, makeKey, type State } from './state.ts'

const ROWS_AT_ONCE = 20_000
/** So many rows are changed at a time: the server goes through all parts of the table for it, and holds so many. */
const ROWS_A_CHANGE = 1_000_000

export interface StoredRow {
  id: string
  batch: string
  receivedOn: Day
  epoch: number
  derived: Derived
  /** What it is derived from. */
  from: { userId: string | null; ip: string | null; userAgent: string | null; referer: string | null }
  viewedAt: number
}

/** So many rows are gone through together by the servers: a day of a small site has few. */
const ROWS_A_GROUP = 1_000_000

/** The days, oldest first, in groups that have at most so many rows together, or are one day. */
export function inGroups(days: readonly Row[], rowsAGroup = ROWS_A_GROUP): Day[][] {
  const groups: Day[][] = []
  let room = 0
  for (const row of days) {
    const rows = Number(row['rows'])
    if (groups.length === 0 || rows > room) {
      groups.push([])
      room = rowsAGroup
    }
    groups.at(-1)!.push(String(row['day']))
    room -= rows
  }
  return groups
}

/** The days rows were received on: the parts that a table of rows is cut into. */
export async function receivedDays(shard: Shard, rowsAGroup = ROWS_A_GROUP): Promise<Day[][]> {
  const rows = await shard.all(
    `SELECT partition AS day, sum(rows) AS rows FROM system.parts
     WHERE database = currentDatabase() AND table = 'post_view_deliveries' AND active
     GROUP BY day ORDER BY day`,
  )
  return inGroups(rows, rowsAGroup)
}

/** As SQL over the rows: received on one of the days. */
export function receivedOn(days: readonly Day[]): string {
  return `toDate(received_at) IN (${days.map(day => `'${day}'`).join(', ')})`
}

/**
 * The rows that `where` tells, so many at a time. Each question is one of a few days, so that no part of the table is read
 * twice; where the rows are few, of many days.
 */
export async function* rowsWhere(
  shard: Shard,
  where: string,
  { areFew }: { areFew: boolean },
): AsyncGenerator<StoredRow[]> {
  for (const days of await receivedDays(shard, areFew ? ROWS_A_GROUP : ROWS_AT_ONCE)) {
    yield* rowsReceived(shard, days, where)
  }
}

async function* rowsReceived(shard: Shard, days: readonly Day[], where: string): AsyncGenerator<StoredRow[]> {
  let after = 'true'
  for (;;) {
    const rows = await shard.all(
      `SELECT id, batch, toDate(received_at) AS received_on, epoch, post_uuid, toString(user_id) AS user_id, ip,
              user_agent, referer, toUnixTimestamp(viewed_at) AS viewed_at, day, slice, logged_in, bot,
              hex(visitor) AS visitor, referer_host
       FROM post_view_deliveries
       WHERE ${receivedOn(days)} AND ${where} AND ${after}
       ORDER BY UUIDToNum(id), UUIDToNum(batch)
       LIMIT ${ROWS_AT_ONCE}`,
    )
    if (rows.length === 0) return
    yield rows.map(toStoredRow)
    if (rows.length < ROWS_AT_ONCE) return
    const { id, batch } = rows.at(-1)!
    after = `UUIDToNum(id) >= ${numbersOf([String(id)])}
      AND (UUIDToNum(id), UUIDToNum(batch)) > (${numbersOf([String(id), String(batch)])})`
  }
}

function toStoredRow(row: Row): StoredRow {
  return {
    id: String(row['id']),
    batch: String(row['batch']),
    receivedOn: String(row['received_on']),
    epoch: Number(row['epoch']),
    viewedAt: Number(row['viewed_at']),
    from: {
      userId: row['user_id'] as string | null,
      ip: row['ip'] as string | null,
      userAgent: row['user_agent'] as string | null,
      referer: row['referer'] as string | null,
    },
    derived: {
      post_uuid: String(row['post_uuid']),
      day: String(row['day']),
      slice: Number(row['slice']),
      logged_in: Number(row['logged_in']),
      bot: Number(row['bot']),
      visitor: String(row['visitor']),
      referer_host: String(row['referer_host']),
    },
  }
}

/** What the derived columns must be, under the settings recorded in `state`. */
export class Deriving {
  readonly #engine: Engine
  readonly #state: State
  readonly #keys: ReadonlyMap<Day, string>
  readonly #bots = new BotList()

  constructor(engine: Engine, state: State, keys: ReadonlyMap<Day, string>) {
    this.#engine = engine
    this.#state = state
    this.#keys = keys
  }

  again({ from, viewedAt, derived }: StoredRow): Derived {
    const row = { id: 0, postUuid: derived.post_uuid, ...from, viewedAt, receivedAt: 0, derived }
    return deriveAgain(row, this.#engine, this.#state, this.#keys, agent => this.#bots.isBot(agent))
  }
}

export type Rederived = Pick<StoredRow, 'id' | 'batch' | 'receivedOn' | 'epoch' | 'derived'>

const DERIVED = ['epoch', 'post_uuid', 'day', 'slice', 'logged_in', 'bot', 'visitor', 'referer_host'] as const

/**
 * Other derived columns for rows. They keep their places in the order of commits. Nothing is changed before `apply`;
 * when that resolves, all of them are; when it is interrupted, all or some.
 */
class Change {
  readonly #shard: Shard
  readonly #table: string
  readonly #receivedOn = new Set<Day>()
  rows = 0

  private constructor(shard: Shard) {
    this.#shard = shard
    this.#table = `post_view_rederived_${newLabels()(0).replaceAll('-', '')}`
  }

  static async begin(shard: Shard): Promise<Change> {
    const change = new Change(shard)
    await shard.run(
      `CREATE TABLE ${change.#table} (
         row String, id UUID, epoch UInt32, post_uuid String, day Date, slice UInt8, logged_in UInt8, bot UInt8,
         visitor UUID, referer_host String
       ) ENGINE = Join(ANY, LEFT, row)`,
    )
    return change
  }

  async add(rows: readonly Rederived[]): Promise<void> {
    const lines = rows.map(({ id, batch, epoch, derived }) => {
      const values = { ...derived, epoch, visitor: derived.visitor?.toLowerCase() }
      return JSON.stringify([id + batch, id, ...DERIVED.map(column => values[column])])
    })
    await this.#shard.insert(this.#table, `row, id, ${DERIVED.join(', ')}`, lines.join('\n'))
    for (const { receivedOn } of rows) this.#receivedOn.add(receivedOn)
    this.rows += rows.length
  }

  async apply(): Promise<void> {
    const table = this.#table
    const row = 'concat(toString(id), toString(batch))'
    const updates = DERIVED.map(
      column => `${column} = joinGet('${this.#shard.database}.${table}', '${column}', ${row})`,
    )
    try {
      // The days by their names: in parts of others the server looks for no row.
      await this.#shard.run(
        `ALTER TABLE post_view_deliveries
         UPDATE ${updates.join(', ')}
         WHERE ${receivedOn([...this.#receivedOn])}
           AND id IN (SELECT id FROM ${table}) AND ${row} IN (SELECT row FROM ${table})
         SETTINGS mutations_sync = 2`,
      )
    } catch (error) {
      // The server would try for ever, and change nothing else before. Where it did not say so, it may be at it still.
      if (isServers(error)) {
        await this.#shard.run(
          `KILL MUTATION WHERE database = currentDatabase() AND table = 'post_view_deliveries'
             AND position(command, '${table}') > 0`,
        )
      }
      throw error
    }
    await this.#shard.run(`DROP TABLE ${table}`)
  }
}

/** Removes what changes that were interrupted a day ago, and are over on the server too, have left. */
export async function dropAbandoned(shard: Shard): Promise<void> {
  const tables = await shard.all(
    `SELECT name FROM system.tables
     WHERE database = currentDatabase() AND startsWith(name, 'post_view_rederived_')
       AND metadata_modification_time < now() - 86400
       AND NOT EXISTS (
         SELECT 1 FROM system.mutations
         WHERE database = currentDatabase() AND table = 'post_view_deliveries' AND NOT is_done
       )`,
  )
  for (const { name } of tables) await shard.run(`DROP TABLE ${name}`)
}

/** Derives rows again, wherever `derive` says other columns than there are. Returns how many were changed. */
export async function deriveRows(
  shard: Shard,
  rows: AsyncIterable<StoredRow[]>,
  derive: (row: StoredRow) => Rederived | null,
): Promise<number> {
  let changed = 0
  let change: Change | null = null
  for await (const some of rows) {
    const others = some.map(derive).filter(row => row !== null)
    if (others.length === 0) continue
    change ??= await Change.begin(shard)
    await change.add(others)
    changed += others.length
    if (change.rows < ROWS_A_CHANGE) continue
    await change.apply()
    change = null
  }
  await change?.apply()
  return changed
}

/** A batch that was left over from settings of before: its rows become what they are under those of now. */
export async function deriveBatchAgain(
  engine: Engine,
  state: State,
  shard: Shard,
  label: string,
): Promise<void> {
  const first = await engine.cluster.first()
  const keys = await dayKeys(first)
  const where = `UUIDToNum(batch) = ${numbersOf([label])}`
  const times = await shard.all(
    `SELECT DISTINCT toUnixTimestamp(viewed_at) AS viewed FROM post_view_deliveries WHERE ${where}`,
  )
  for (const { viewed } of times) {
    const day = engine.calendar.dayOf(Number(viewed))
    const isOpen = state.openFrom === null || day >= state.openFrom
    if (isOpen && !keys.has(day)) keys.set(day, await makeKey(first, day))
  }
  const deriving = new Deriving(engine, state, keys)
  const rows = rowsWhere(shard, where, { areFew: true })
  await deriveRows(shard, rows, row => ({ ...row, epoch: state.epoch, derived: deriving.again(row) }))
}
