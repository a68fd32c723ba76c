/** The site's breakdowns of settled days: counted over all shards, kept on the first. */

import { KEPT_OF_SITE, NO_VALUE, REMAINDER } from '../bounds.ts'
import type { Day } from '../days.ts'
import { type Differing, keyOf } from './compared.ts'
import type { Row } from './connection.ts'
import { dayIn, type Sources, siteHostsOf } from './count.ts'
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
    const hostsOfDays = await countHosts(engine, sources, some)
    const lines = some.map(day => {
      const stamps = stampsOf.map(stamps => stamps.get(day) ?? '0')
      const weight = stamps.reduce((sum, stamp) => sum + BigInt(stamp), 0n)
      const hosts = [...(hostsOfDays.get(day) ?? [])]
      const views = hosts.map(([, views]) => views)
      return `["${day}",${JSON.stringify(hosts.map(([host]) => host))},[${views.join(', ')}],[${stamps.join(', ')}],${weight}]`
    })
    await shards[0]!.insert(
      'post_view_site_breakdowns',
      'day, hosts, host_views, stamps, weight',
      lines.join('\n'),
    )
  }
}

type HostViews = Map<string, number>

/** The hosts of the site that each day keeps, and the views of each. */
async function countHosts(
  engine: Engine,
  sources: readonly Sources[],
  days: readonly Day[],
): Promise<Map<Day, HostViews>> {
  const shards = await engine.cluster.shards()
  const parts = await Promise.all(
    shards.map((shard, index) =>
      shard.all(
        `SELECT day, host, sum(n) AS views FROM (${siteHostsOf(sources[index]!, days)}) GROUP BY day, host`,
      ),
    ),
  )
  const all = byDay(parts.flat())
  return new Map([...all].map(([day, hosts]) => [day, kept(hosts)]))
}

function byDay(rows: readonly Row[]): Map<Day, HostViews> {
  const days = new Map<Day, HostViews>()
  for (const row of rows) {
    const [day, host] = [String(row['day']), String(row['host'])]
    const hosts = days.get(day) ?? new Map<string, number>()
    days.set(day, hosts.set(host, (hosts.get(host) ?? 0) + Number(row['views'])))
  }
  return days
}

/** As `keptHosts` of a post. */
function kept(hosts: HostViews): HostViews {
  const special = (host: string) => hosts.get(host) ?? 0
  const named = [...hosts]
    .filter(([host]) => host !== NO_VALUE && host !== REMAINDER)
    .sort(([a, viewsA], [b, viewsB]) => viewsB - viewsA || (a < b ? -1 : 1))
  const rest = named.slice(KEPT_OF_SITE).reduce((sum, [, views]) => sum + views, special(REMAINDER))
  const others: [string, number][] = [
    [NO_VALUE, special(NO_VALUE)],
    [REMAINDER, rest],
  ]
  return new Map([...named.slice(0, KEPT_OF_SITE), ...others.filter(([, views]) => views > 0)])
}

export async function differingSiteHosts(
  engine: Engine,
  sources: readonly Sources[],
  days: readonly Day[],
): Promise<Differing[]> {
  const settled = days.filter(day => isSettled(sources[0]!, day))
  if (settled.length === 0) return []
  const first = await engine.cluster.first()
  const [expectedOf, rows] = await Promise.all([
    countHosts(engine, sources, settled),
    first.all(
      `SELECT day, host, views FROM (SELECT * FROM post_view_site_breakdowns FINAL WHERE ${dayIn(settled)})
       ARRAY JOIN hosts AS host, host_views AS views`,
    ),
  ])
  const foundOf = byDay(rows)
  return settled.flatMap(day => {
    const expected = expectedOf.get(day) ?? new Map<string, number>()
    const found = foundOf.get(day) ?? new Map<string, number>()
    const listOf = (views: HostViews, host: string) => (views.has(host) ? [views.get(host)!] : [])
    return [...new Set([...expected.keys(), ...found.keys()])]
      .sort()
      .filter(host => expected.get(host) !== found.get(host))
      .map(host => ({
        kind: 'site_referrer' as const,
        fields: ['view_count'],
        key: keyOf(SITE, day, host),
        name: `site on ${day} from ${host || 'nowhere'}`,
        expected: listOf(expected, host),
        found: listOf(found, host),
      }))
  })
}
