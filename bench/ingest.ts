/** How fast a backlog is counted, compared with the upper bound, the article's consumer, and a bare insert of the same rows. */

import type { Bench } from './bench.ts'
import { barChart } from './charts.ts'
import { type IngestRun, ingestTurns } from './ingest-turns.ts'
import { type Summary, summarize } from './measure.ts'
import { part, type Shown } from './part.ts'
import { ratios, takeTurns } from './rounds.ts'
import { decimal, table, thousands, withRange } from './tables.ts'

export interface IngestContender {
  name: string
  title: string
  runs: IngestRun[]
}

export interface IngestMeasured {
  contenders: IngestContender[]
}

/** The required ratio of one contender to another, and the goal. */
const COMPARED: readonly {
  of: string
  to: readonly string[]
  least: number
  goal: number
}[] = [
  { of: 'mariadb-single', to: ['one-by-one'], least: 15, goal: 40 },
  { of: 'mariadb-single', to: ['nothing-single'], least: 0.18, goal: 0.4 },
  { of: 'sqlite-single', to: ['nothing-single'], least: 0.3, goal: 0.6 },
  { of: 'mariadb-grouped', to: ['bare-mariadb-2000', 'bare-mariadb-5000'], least: 0.6, goal: 1 },
  { of: 'sqlite-grouped', to: ['bare-sqlite-2000', 'bare-sqlite-5000'], least: 0.6, goal: 1 },
  { of: 'postgresql-single', to: ['nothing-single'], least: 0.18, goal: 0.4 },
  { of: 'postgresql-grouped', to: ['bare-postgresql-2000', 'bare-postgresql-5000'], least: 0.6, goal: 1 },
  { of: 'clickhouse-single', to: ['nothing-single'], least: 0.33, goal: 0.45 },
  { of: 'clickhouse-grouped', to: ['bare-clickhouse-2000', 'bare-clickhouse-5000'], least: 0.6, goal: 1 },
]

export const INGEST = part<IngestMeasured>({
  name: 'ingest',
  help: 'how fast a backlog is counted, beside the limit, the article’s way and bare inserts',

  async measure(bench: Bench) {
    const turns = await ingestTurns(bench)
    const runs = await takeTurns(
      bench,
      turns,
      ({ eventsPerSecond, wrong }) => wrong ?? `${thousands(eventsPerSecond)} events/s`,
    )
    return {
      contenders: turns.map(({ name, title }) => ({ name, title, runs: runs.get(name)! })),
    }
  },

  show: ({ contenders }) => ({
    tables: {
      ingest: ratesTable(contenders),
      'ingest-ratios': ratiosTable(contenders),
      'ingest-cpu': cpuTable(contenders),
    },
    figures: figuresOf(contenders),
  }),
})

export function rateOf({ runs }: IngestContender): Summary | null {
  return runs.some(({ wrong }) => wrong !== null)
    ? null
    : summarize(runs.map(({ eventsPerSecond }) => eventsPerSecond))
}

export function ratesTable(contenders: readonly IngestContender[]): string {
  return table(
    ['', 'events', 'events/s, median', 'min', 'max'],
    contenders.map(contender => {
      const { title, runs } = contender
      const rate = rateOf(contender)
      const events = thousands(runs[0]!.events)
      if (rate === null) return [title, events, `void: ${runs.find(({ wrong }) => wrong)!.wrong}`, '', '']
      return [title, events, thousands(rate.median), thousands(rate.min), thousands(rate.max)]
    }),
  )
}

function ratiosTable(contenders: readonly IngestContender[]): string {
  const byName = new Map(contenders.map(contender => [contender.name, contender]))
  return table(
    ['', 'beside', 'ratio, median (min to max)', 'at least', 'goal'],
    // ClickHouse is not available on every machine.
    COMPARED.filter(({ of }) => byName.has(of)).map(({ of, to, least, goal }) => {
      const contender = byName.get(of)!
      const other = fastest(to.map(name => byName.get(name)!))
      const isVoid = rateOf(contender) === null || rateOf(other) === null
      const ratio = isVoid ? 'void' : withRange(ratios(rates(contender), rates(other)), decimal)
      return [contender.title, other.title, ratio, decimal(least), decimal(goal)]
    }),
  )
}

function fastest(contenders: readonly IngestContender[]): IngestContender {
  const median = (contender: IngestContender) => rateOf(contender)?.median ?? 0
  return contenders.reduce((best, each) => (median(each) > median(best) ? each : best))
}

export function rates({ runs }: IngestContender): number[] {
  return runs.map(({ eventsPerSecond }) => eventsPerSecond)
}

const PARTS_OF_CPU = ['broker', 'database', 'service'] as const

export function cpuTable(contenders: readonly IngestContender[]): string {
  return table(
    ['CPU, ms per 1,000 events', ...PARTS_OF_CPU, 'together', 'cores busy'],
    contenders.map(({ title, runs }) => {
      const median = (name: string) => summarize(runs.map(run => run.cpuMsPer1000[name] ?? 0)).median
      const each = PARTS_OF_CPU.map(median)
      const sum = (run: IngestRun) => Object.values(run.cpuMsPer1000).reduce((total, ms) => total + ms, 0)
      const together = summarize(runs.map(sum)).median
      const cores = summarize(runs.map(run => (sum(run) * run.eventsPerSecond) / 1e6)).median
      const shown = each.map((ms, index) =>
        PARTS_OF_CPU[index]! in runs[0]!.cpuMsPer1000 ? decimal(ms) : '',
      )
      return [title, ...shown, decimal(together), decimal(cores)]
    }),
  )
}

function figuresOf(contenders: readonly IngestContender[]): Shown['figures'] {
  const bars = contenders.flatMap(contender => {
    const rate = rateOf(contender)
    return rate === null
      ? []
      : [{ title: contender.title, stressed: contender.title.startsWith('postviews'), ...rate }]
  })
  // `nothing, grouped` is an order of magnitude faster than all others, whose bars would be too small to see.
  const shown = bars.filter(({ title }) => !title.startsWith('nothing, grouped'))
  return {
    'ingest.svg': barChart({
      title: 'Events counted a second, by contender',
      unit: 'events/s',
      bars: shown,
      format: thousands,
    }),
  }
}
