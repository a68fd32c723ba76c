/** `npm run bench`: measures with its own broker and databases, and writes the results down. */

import { Argument, Command, InvalidArgumentError } from 'commander'
import { chooseStack, STACKS } from '../tools/stack/stacks.ts'
import { onStopSignal } from '../tools/stack/stop-signals.ts'
import { createBench } from './bench.ts'
import { CONSUMERS } from './consumers.ts'
import { FRESHNESS } from './freshness.ts'
import { FRONTENDS } from './frontends.ts'
import { GROWTH } from './growth.ts'
import { INGEST } from './ingest.ts'
import { LARAVEL } from './laravel.ts'
import { LISTS } from './lists.ts'
import type { Part } from './part.ts'
import { PUBLISHER } from './publisher.ts'
import { READS } from './reads.ts'
import { RELAY } from './relay.ts'
import { describeMachine, publish, readResults, saveResult } from './report.ts'
import { SERVERS } from './servers.ts'

const PARTS: readonly Part[] = [
  INGEST,
  SERVERS,
  CONSUMERS,
  FRESHNESS,
  PUBLISHER,
  RELAY,
  GROWTH,
  READS,
  LISTS,
  FRONTENDS,
  LARAVEL,
]
const ROUNDS = { full: 5, quick: 3 }
const ROWS = { full: 10_000_000, quick: 200_000 }

interface Options {
  quick?: true
  rounds?: number
  rows?: number
  stores?: string
  draw?: true
  stack?: string
}

const program = new Command('npm run bench --')
  .description(
    'Measures postviews beside what bounds it. Starts a broker and databases of its own, and ends them.',
  )
  .addArgument(
    new Argument('[parts...]', 'what to measure; by default everything but servers and laravel').choices(
      PARTS.map(({ name }) => name),
    ),
  )
  .option(
    '--quick',
    'ingest alone unless told otherwise, small and in few rounds; prints, and writes nothing down',
  )
  .option('--rounds <count>', `turns of each contender (${ROUNDS.full}, quick ${ROUNDS.quick})`, parseCount)
  .option('--rows <count>', `raw rows of a big store (${ROWS.full}, quick ${ROWS.quick})`, parseCount)
  .option('--stores <folder>', 'keep big stores there, and use those that are there already')
  .option(
    '--stack <name>',
    `with the servers of another system (${STACKS.map(({ name }) => name).join(', ')}); prints, and writes nothing down`,
  )
  .option('--draw', 'measure nothing: draw figures and tables anew from results.json')
  .addHelpText(
    'after',
    `\nParts:\n${PARTS.map(({ name, help }) => `  ${name.padEnd(10)} ${help}`).join('\n')}`,
  )
  .parse()

const names = program.args
const { quick = false, rounds, rows, stores, draw, stack } = program.opts<Options>()
const chosen = PARTS.filter(({ name, isOnlyByName }) =>
  names.length > 0 ? names.includes(name) : quick ? name === INGEST.name : !isOnlyByName,
)

if (draw) drawAnew()
else await measure()

async function measure(): Promise<void> {
  if (stack !== undefined) chooseStack(stack)
  const bench = createBench({
    quick,
    rounds: rounds ?? (quick ? ROUNDS.quick : ROUNDS.full),
    rows: rows ?? (quick ? ROWS.quick : ROWS.full),
    ...(stores !== undefined && { stores }),
  })
  let isStopping = false
  const stop = () => {
    isStopping = true
    void bench.end().finally(() => process.exit(130))
  }
  onStopSignal(stop)
  // `npm run bench | head`: the reader has left.
  process.stdout.once('error', stop)
  try {
    const machine = describeMachine()
    bench.say(`On ${machine}`)
    for (const part of chosen) {
      bench.say(`\n${part.name}: ${part.help}`)
      const measured = await part.measure(bench)
      const shown = part.show(measured)
      for (const text of Object.values(shown.tables)) bench.say(`\n${text}`)
      if (quick || stack !== undefined) continue
      const result = { command: commandLine(part), measuredAt: new Date().toISOString(), machine, measured }
      saveResult(part.name, result)
      publish(part, shown, result)
    }
  } catch (error) {
    // When everything is stopped, a failure of the current step is not worth reporting.
    if (isStopping) return
    bench.say(`bench: ${error instanceof Error ? error.message : error}`)
    process.exitCode = 1
  } finally {
    if (!isStopping) await bench.end()
  }
}

function drawAnew(): void {
  const results = readResults()
  for (const part of chosen) {
    const result = results[part.name]
    if (result !== undefined) publish(part, part.show(result.measured), result)
  }
}

function commandLine({ name }: Part): string {
  const options = [rounds !== undefined && `--rounds ${rounds}`, rows !== undefined && `--rows ${rows}`]
  return ['npm run bench --', name, ...options.filter(Boolean)].join(' ')
}

function parseCount(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('It is not a whole number above 0.')
  return Number(text)
}
