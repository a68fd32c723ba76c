/** The site's breakdowns of settled days: of all shards together, kept on the first. */

import { KEPT_OF_SITE } from '../bounds.ts'
import type { Day } from '../calendar.ts'
import { keptHosts, siteHostsOfDay } from './count.ts'
import type { Differing } from './recount.ts'
import { isSettled, type Rolling, rollingsOf } from './roll.ts'
import type { Engine } from './state.ts'

/**
 * Breaks settled days down again that a shard has counted since: a breakdown is of its shards' days as they were, by their
 * stamps. `days`: whether they have changed or not.
 */
export async function siteBreakdowns(engine: Engine, days: readonly Day[] = []): Promise<void> {
  const shards = await engine.cluster.shards()
  const rollings = await rollingsOf(engine)
  if (rollings.some(({ closed }) => closed === null)) return
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
  for (const day of [...stale].filter(day => rollings.every(rolling => isSettled(rolling, day))).sort()) {
    const stamps = stampsOf.map(stamps => stamps.get(day) ?? '0')
    const weight = stamps.reduce((sum, stamp) => sum + BigInt(stamp), 0n)
    const [hosts, views] = await hostsOf(engine, rollings, day)
    await shards[0]!.insert(
      'post_view_site_breakdowns',
      'day, hosts, host_views, stamps, weight',
      `["${day}",${JSON.stringify(hosts)},[${views.join(', ')}],[${stamps.join(', ')}],${weight}]`,
    )
  }
}

/** The hosts of the site that a day keeps, and the views of each. */
async function hostsOf(
  engine: Engine,
  rollings: readonly Rolling[],
  day: Day,
): Promise<[hosts: string[], views: number[]]> {
  const shards = await engine.cluster.shards()
  const parts = await Promise.all(
    shards.map(async (shard, index) => {
      const hosts = siteHostsOfDay(rollings[index]!, day)
      return shard.all(`SELECT host, sum(n) AS views FROM (${hosts}) GROUP BY host`)
    }),
  )
  const views = new Map<string, number>()
  for (const row of parts.flat()) {
    const host = String(row['host'])
    views.set(host, (views.get(host) ?? 0) + Number(row['views']))
  }
  const [row] = await shards[0]!.all(
    `SELECT ${keptHosts(`arrayZip(${asArray([...views.keys()].map(text))}, ${asArray([...views.values()].map(String), 'UInt64')})`, KEPT_OF_SITE)}`,
  )
  return [row!['hosts'] as string[], (row!['host_views'] as unknown[]).map(Number)]
}

function text(value: string): string {
  return `'${value.replace(/[\\']/g, '\\$&')}'`
}

function asArray(values: readonly string[], type = 'String'): string {
  return `CAST([${values.join(',')}], 'Array(${type})')`
}

export async function differingSiteHosts(
  engine: Engine,
  rollings: readonly Rolling[],
  day: Day,
): Promise<Differing[]> {
  if (!isSettled(rollings[0]!, day)) return []
  const first = await engine.cluster.first()
  const [hosts, views] = await hostsOf(engine, rollings, day)
  const [row] = await first.all(
    `SELECT hosts, host_views FROM post_view_site_breakdowns FINAL WHERE day = '${day}'`,
  )
  const expected = new Map(hosts.map((host, index) => [host, views[index]!]))
  const kept = (row?.['hosts'] as string[] | undefined) ?? []
  const keptViews = (row?.['host_views'] as unknown[] | undefined) ?? []
  const found = new Map(kept.map((host, index) => [host, Number(keptViews[index])]))
  const listOf = (views: ReadonlyMap<string, number>, host: string) =>
    views.has(host) ? [views.get(host)!] : []
  return [...new Set([...expected.keys(), ...found.keys()])]
    .sort()
    .filter(host => expected.get(host) !== found.get(host))
    .map(host => ({
      kind: 'site_referrer',
      fields: ['view_count'],
      key: host,
      name: `site on ${day} from ${host || 'nowhere'}`,
      expected: listOf(expected, host),
      found: listOf(found, host),
    }))
}
