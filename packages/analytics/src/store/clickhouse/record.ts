/** Records a batch: one insert on each shard that has posts of it, all at once. */

import { crc32 } from 'node:zlib'
import type { CountedBy } from '../bots-before.ts'
import type { Day } from '../days.ts'
import { AGREEMENT_REPLACED, StoreRefused, StoreUnavailable } from '../failures.ts'
import { KeyReplaced } from '../key-replaced.ts'
import type { DerivedRows } from '../rows-of-views.ts'
import type { Recorded } from '../store.ts'
import { latestEntry } from './agreed.ts'
import { isServers, THROWN_BY_THROW_IF } from './errors.ts'
import { insertOfRows, lineOf } from './row.ts'
import type { Engine } from './state.ts'

/** The agreement, epoch and keys under which rows were derived, by their numbers in `post_view_agreed`. */
export interface DerivedUnder {
  agreement: number
  epoch: number
  botsBefore: CountedBy['botsBefore']
  keyNumbers: ReadonlyMap<Day, number>
}

/** The shard of a post, from 0. */
export function shardOf(post: string, shards: number): number {
  return shards === 1 ? 0 : crc32(post) % shards
}

/**
 * Resolves once every shard has the rows on its disk. If one shard fails, others may have their rows: a retry inserts
 * the same rows again.
 *
 * @throws {KeyReplaced} the key of a day was destroyed since it was asked for
 * @throws {StoreRefused} the agreement was replaced
 */
export async function recordRows(
  { cluster, settings }: Engine,
  { rows, views }: DerivedRows,
  under: DerivedUnder,
): Promise<Recorded> {
  const shards = await cluster.shards()
  const lines: string[][] = shards.map(() => [])
  const days = new Set<Day>()
  for (const [index, row] of rows.entries()) {
    const { ownTime } = views[index]!.view
    lines[shardOf(row.postUuid, shards.length)]!.push(lineOf(row, ownTime, under.keyNumbers.get(row.day)!))
    days.add(row.day)
  }
  const insert = insertOfRows(
    { settings, botsBefore: under.botsBefore },
    under.epoch,
    isReplaced(under, days),
  )
  const inserts = shards.map((shard, index) =>
    lines[index]!.length === 0 ? undefined : shard.send(insert, lines[index]!.join('\n')),
  )
  const outcomes = await Promise.allSettled(inserts)
  const errors: unknown[] = outcomes.flatMap(outcome =>
    outcome.status === 'rejected' ? [outcome.reason] : [],
  )
  if (errors.length === 0) return { counted: rows.length, duplicates: null }
  const refusal = errors.find(error => isServers(error) && error.code === THROWN_BY_THROW_IF)
  throw refusal === undefined ? worst(errors) : await whatWasReplaced(cluster, under, refusal)
}

/** If one shard refuses a row, that is the error, whatever happened on the others. */
function worst(errors: readonly unknown[]): unknown {
  return errors.find(error => !(error instanceof StoreUnavailable)) ?? errors[0]
}

function isReplaced({ agreement, keyNumbers }: DerivedUnder, days: ReadonlySet<Day>): string {
  const numbers = [...days].map(day => `(name = 'key ${day}' AND number > ${keyNumbers.get(day)})`)
  return `(SELECT count() FROM post_view_agreed
    WHERE (name = 'settings' AND number > ${agreement}) OR ${numbers.join(' OR ')}) > 0`
}

async function whatWasReplaced(
  cluster: Engine['cluster'],
  { agreement, keyNumbers }: DerivedUnder,
  cause: unknown,
): Promise<unknown> {
  const first = await cluster.first()
  const settings = await latestEntry(first, 'settings')
  if (settings !== null && settings.number > agreement) return new StoreRefused(AGREEMENT_REPLACED, { cause })
  for (const [day, number] of keyNumbers) {
    const key = await latestEntry(first, `key ${day}`)
    if (key !== null && key.number > number) return new KeyReplaced(day)
  }
  return cause
}
