/** The site's breakdowns of settled days: counted over all shards, kept on the first. */

import type { DimensionName } from '@postviews/client/src/figures.ts'
import { KEPT_OF_SITE, NO_BOUND, REMAINDER } from '../bounds.ts'
import type { Day } from '../days.ts'
import { addViews, type Breakdown, Pack, type Views } from '../pack.ts'
import { COUNTS, EACH_VALUE, valuesOf } from './breakdowns.ts'
import { type Differing, isDifferent, keyOf, toldOfValue, VALUE_FIELDS } from './compared.ts'
import type { Row } from './connection.ts'
import { dayIn, type Sources } from './count.ts'
import { allSources, inSteps, isSettled } from './roll.ts'
import { SITE } from './sql.ts'
import type { Engine } from './state.ts'

/**
 * Breaks a settled day down again if a shard has counted it since: a breakdown records the stamps of its shards' days.
 * `days` are broken down even if they have not changed.
 */
export async function siteBreakdowns(engine: Engine, days: readonly Day[] = []): Promise<void> {
  const shards = await engine.cluster.shards()
  const sources = await allSources(engine)
  if (sources.some(({ closed }) => closed === null)) return
  const stampsOf = await Promise.all(
    shards.map(async shard => {
      const rows = await shard.all('SELECT day, toString(stamp) AS stamp FROM post_view_site_days FINAL')
      return new Map(rows.map(row => [String(row['day']), String(row['stamp'])]))
    }),
  )
  const stored = await shards[0]!.all(
    `SELECT day, arrayMap(stamp -> toString(stamp), stamps) AS stamps FROM post_view_site_breakdowns FINAL`,
  )
  const storedOf = new Map(stored.map(row => [String(row['day']), row['stamps'] as string[]]))
  const stale = new Set(days)
  for (const [index, stamps] of stampsOf.entries()) {
    for (const [day, stamp] of stamps) {
      if (BigInt(storedOf.get(day)?.[index] ?? '0') < BigInt(stamp)) stale.add(day)
    }
  }
  const settled = [...stale].filter(day => sources.every(each => isSettled(each, day)))
  for (const some of await inSteps(shards[0]!, engine, settled)) {
    const packs = await countDays(engine, sources, some)
    const lines = some.map(day => {
      const stamps = stampsOf.map(stamps => stamps.get(day) ?? '0')
      const weight = stamps.reduce((sum, stamp) => sum + BigInt(stamp), 0n)
      const counts = [...(packs.get(day)?.breakdowns ?? [])].flatMap(([dimension, breakdown]) =>
        [...breakdown.entries()].map(([value, { views, bots }]) => [dimension, value, views, bots]),
      )
      const columns = [0, 1, 2, 3].map(column => JSON.stringify(counts.map(count => count[column])))
      return `["${day}",${columns.join()},[${stamps.join(', ')}],${weight}]`
    })
    await shards[0]!.insert('post_view_site_breakdowns', `day, ${COUNTS}, stamps, weight`, lines.join('\n'))
  }
}

/** What each day keeps of the site. */
async function countDays(
  engine: Engine,
  sources: readonly Sources[],
  days: readonly Day[],
): Promise<Map<Day, Pack>> {
  const shards = await engine.cluster.shards()
  const parts = await Promise.all(
    shards.map((shard, index) => shard.all(valuesOf(sources[index]!, days, { of: 'site' }))),
  )
  const packs = packsOf(parts.flat())
  for (const pack of packs.values()) pack.cutTo({ ...NO_BOUND, values: KEPT_OF_SITE })
  return packs
}

function packsOf(rows: readonly Row[]): Map<Day, Pack> {
  const packs = new Map<Day, Pack>()
  for (const row of rows) {
    const day = String(row['day'])
    const pack = packs.get(day) ?? new Pack()
    packs.set(day, pack)
    const bots = row['n_bots'] === null ? null : Number(row['n_bots'])
    addValue(pack.of(row['dimension'] as DimensionName), String(row['value']), {
      views: Number(row['n']),
      bots,
    })
  }
  return packs
}

/** What settled days keep of the site. */
export async function keptOfSite({ cluster }: Engine, days: readonly Day[]): Promise<Map<Day, Pack>> {
  const first = await cluster.first()
  return packsOf(
    await first.all(
      `SELECT day, dimension, value, n, n_bots
       FROM (SELECT * FROM post_view_site_breakdowns FINAL WHERE ${dayIn(days)}) ${EACH_VALUE}`,
    ),
  )
}

/** Adds what one shard, or one day, has of a value. A new value is kept even if there are others. */
export function addValue(breakdown: Breakdown, value: string, views: Views): void {
  const before = breakdown.values.get(value)
  if (value === REMAINDER) breakdown.addToOthers(views)
  else if (before === undefined) breakdown.set(value, views)
  else addViews(before, views)
}

export async function differingSiteValues(
  engine: Engine,
  sources: readonly Sources[],
  days: readonly Day[],
): Promise<Differing[]> {
  const settled = days.filter(day => isSettled(sources[0]!, day))
  if (settled.length === 0) return []
  const [expectedOf, foundOf] = await Promise.all([
    countDays(engine, sources, settled),
    keptOfSite(engine, settled),
  ])
  return settled.flatMap(day => {
    const [expected, found] = [expectedOf.get(day) ?? new Pack(), foundOf.get(day) ?? new Pack()]
    const dimensions = new Set([...expected.breakdowns.keys(), ...found.breakdowns.keys()])
    return [...dimensions].flatMap(dimension => {
      const [of, is] = [expected, found].map(pack => new Map(pack.of(dimension).entries()))
      return [...new Set([...of!.keys(), ...is!.keys()])].sort().flatMap(value => {
        const [must, has] = [listOf(of!.get(value)), listOf(is!.get(value))]
        if (!isDifferent(must, has)) return []
        const { kind, name } = toldOfValue(`site on ${day}`, dimension, value)
        return {
          kind: `site_${kind}` as const,
          name,
          fields: VALUE_FIELDS,
          key: keyOf(SITE, day, dimension, value),
          expected: must,
          found: has,
        }
      })
    })
  })
}

function listOf(views: Views | undefined): (number | null)[] {
  return views === undefined ? [] : [views.views, views.bots]
}
