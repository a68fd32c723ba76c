/** What other systems' servers achieve: ingest on MySQL and on two MariaDBs in one run, and the cost of a binary log. */

import { createConnection, type RowDataPacket } from 'mysql2/promise'
import type { Mysql } from '../tools/stack/mysql.ts'
import type { Bench } from './bench.ts'
import { mysqlEngine } from './databases.ts'
import { grouped, makeEvents } from './events.ts'
import { cpuTable, type IngestContender, rateOf, rates, ratesTable } from './ingest.ts'
import { type IngestRun, runService } from './ingest-turns.ts'
import { part } from './part.ts'
import { ratios, type Turn, takeTurns } from './rounds.ts'
import { decimal, table, thousands, withRange } from './tables.ts'

const EVENTS = { full: 300_000, quick: 60_000 }

/** MariaDB has a binary log only on request, MySQL unless told otherwise. Both sync it with every commit, MySQL's default. */
const CONTENDERS = [
  { name: 'debian-12', stack: 'debian-12', log: '', args: [] },
  { name: 'debian-13', stack: 'debian-13', log: '', args: [] },
  { name: 'mysql', stack: 'debian-unstable', log: '', args: ['--skip-log-bin'] },
  {
    name: 'debian-12-log',
    stack: 'debian-12',
    log: ', with a binary log',
    args: ['--log-bin', '--sync-binlog=1'],
  },
  { name: 'mysql-log', stack: 'debian-unstable', log: ', with a binary log', args: [] },
] as const

/** The required ratio of one contender to another; null where it is only reported. */
const COMPARED = [
  { of: 'mysql', to: 'debian-12', least: 0.7 },
  { of: 'debian-13', to: 'debian-12', least: null },
  { of: 'mysql-log', to: 'mysql', least: null },
  { of: 'debian-12-log', to: 'debian-12', least: null },
  { of: 'mysql-log', to: 'debian-12-log', least: null },
] as const

interface ServersMeasured {
  contenders: IngestContender[]
}

export const SERVERS = part<ServersMeasured>({
  name: 'servers',
  help: 'ingest on MySQL beside MariaDB 10.11 and 11.8, with and without a binary log; only by name, as root',
  isOnlyByName: true,

  async measure(bench: Bench) {
    const events = makeEvents({
      seed: 'bench',
      count: bench.quick ? EVENTS.quick : EVENTS.full,
      untilMs: Date.now(),
    })
    const messages = grouped(events)
    const turns: Turn<IngestRun>[] = []
    for (const { name, stack, log, args } of CONTENDERS) {
      const server = await bench.serverOf(stack, ...args)
      turns.push({
        name,
        title: `postviews on ${await nameOf(server)}${log}`,
        run: () => runService(bench, mysqlEngine(server), events, messages),
      })
    }
    const runs = await takeTurns(
      bench,
      turns,
      ({ eventsPerSecond, wrong }) => wrong ?? `${thousands(eventsPerSecond)} events/s`,
    )
    return { contenders: turns.map(({ name, title }) => ({ name, title, runs: runs.get(name)! })) }
  },

  show: ({ contenders }) => ({
    tables: {
      servers: ratesTable(contenders),
      'servers-ratios': ratiosTable(contenders),
      'servers-cpu': cpuTable(contenders),
    },
    figures: {},
  }),
})

function ratiosTable(contenders: readonly IngestContender[]): string {
  const byName = new Map(contenders.map(contender => [contender.name, contender]))
  return table(
    ['', 'beside', 'ratio, median (min to max)', 'at least'],
    COMPARED.map(({ of, to, least }) => {
      const [contender, other] = [byName.get(of)!, byName.get(to)!]
      const isVoid = rateOf(contender) === null || rateOf(other) === null
      const ratio = isVoid ? 'void' : withRange(ratios(rates(contender), rates(other)), decimal)
      return [contender.title, other.title, ratio, least === null ? '' : decimal(least)]
    }),
  )
}

/** `MariaDB 10.11.19`. */
async function nameOf({ url, isMysql }: Mysql): Promise<string> {
  const connection = await createConnection({ uri: url })
  try {
    const [[row]] = await connection.query<RowDataPacket[]>('SELECT VERSION() AS version')
    const [version] = String(row!['version']).split('-')
    return `${isMysql ? 'MySQL' : 'MariaDB'} ${version}`
  } finally {
    await connection.end()
  }
}
