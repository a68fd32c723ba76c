/** What a page pays for a view through the relay and directly, and what the relay itself needs for a million views. */

import { ensureParts } from '../tools/stack/stack-install.ts'
import { chosenStack } from '../tools/stack/stacks.ts'
import type { Bench } from './bench.ts'
import type { Tracked } from './contenders/track-views.ts'
import { type Summary, summarize } from './measure.ts'
import { part } from './part.ts'
import { runContender } from './processes.ts'
import { type Called, call, FAR_MS, startRelay, type Where, withBroker } from './relay-callers.ts'
import { type Spooled, spool } from './relay-spool.ts'
import { ratios, type Turn, takeTurns } from './rounds.ts'
import { megabytes, milliseconds, table, thousands, withRange } from './tables.ts'

const STEADY = { perSecond: 2_000, workers: 8 }
/** So many workers that they can reach this rate, though each waits for its answers. */
const BUSY = { perSecond: 10_000, workers: 16 }
const SECONDS = { full: 10, quick: 4 }
const DIRECT_CALLS = { full: 500, quick: 100 }
const SPOOLED = { full: 1_000_000, quick: 200_000 }
/** One round fills and drains a million in a minute; more rounds would not add information. */
const SPOOL_ROUNDS = 3
/** The cost of a call when the relay does nothing else. */
const REFERENCES = { 'answer-at-once': 'answers at once', 'answer-when-synced': 'syncs and answers' } as const
const WHERE: Record<Where, string> = {
  away: 'the broker away',
  near: 'the broker near',
  far: `the broker ${FAR_MS} ms away`,
}

interface RelayMeasured {
  calls: { title: string; where: Where; runs: Called[] }[]
  spooled: Spooled[]
  /** Rate of `createTracker` publishing the same events itself; confirmed per second. */
  directPerSecond: number[]
}

export const RELAY = part<RelayMeasured>({
  name: 'relay',
  help: 'what a page pays for a view by way of the relay and directly; memory and speed of its spool',

  async measure(bench) {
    await ensureParts(['php'], chosenStack(), bench.say)
    const turns = callTurns(bench)
    const calls = await takeTurns(
      bench,
      turns,
      ({ p50Ms, p99Ms, callsPerSecond, lateMs, failed }) =>
        `p50 ${milliseconds(p50Ms)}, p99 ${milliseconds(p99Ms)}, ${thousands(callsPerSecond)} calls/s, ` +
        `late ${milliseconds(lateMs)}, ${failed} failed`,
    )
    const { spooled, directPerSecond } = await spools(bench)
    return {
      calls: turns.map(({ name, title, where }) => ({ title, where, runs: calls.get(name)! })),
      spooled,
      directPerSecond,
    }
  },

  show: ({ calls, spooled, directPerSecond }) => ({
    tables: { 'relay-calls': callsTable(calls), 'relay-spool': spoolTable(spooled, directPerSecond) },
    figures: {},
  }),
})

type CallTurn = Turn<Called> & { where: Where }

function callTurns(bench: Bench): CallTurn[] {
  const seconds = bench.quick ? SECONDS.quick : SECONDS.full
  const byRelay = (where: Where, { perSecond, workers }: typeof STEADY, isKept: boolean): CallTurn => ({
    name: `relay ${where} ${perSecond} ${isKept}`,
    title: `the relay, ${thousands(perSecond)} views/s, ${connections(isKept)}`,
    where,
    run: () =>
      withBroker(bench, where, async amqpUrl => {
        const { process: relay, socket } = await startRelay(bench, amqpUrl)
        try {
          const load = { isKept, workers, perSecond, calls: perSecond * seconds }
          return await call(bench, { way: 'relay', address: socket, ...load }, relay)
        } finally {
          await relay.stop()
        }
      }),
  })
  const directly = (where: Where, isKept: boolean): CallTurn => ({
    name: `direct ${where} ${isKept}`,
    title: `directly, one worker, ${connections(isKept)}`,
    where,
    run: () =>
      withBroker(bench, where, address => {
        const calls = bench.quick ? DIRECT_CALLS.quick : DIRECT_CALLS.full
        return call(bench, { way: 'direct', address, isKept, workers: 1, perSecond: 0, calls })
      }),
  })
  const reference = (what: keyof typeof REFERENCES, isKept: boolean): CallTurn => ({
    name: `${what} ${isKept}`,
    title: `a server that ${REFERENCES[what]}, ${thousands(STEADY.perSecond)} views/s, ${connections(isKept)}`,
    where: 'away',
    run: async () => {
      const { process: server, socket } = await startRelay(bench, '', `bench/contenders/${what}.ts`)
      try {
        const load = { ...STEADY, isKept, calls: STEADY.perSecond * seconds }
        return await call(bench, { way: 'relay', address: socket, ...load }, server)
      } finally {
        await server.stop()
      }
    },
  })
  return [
    ...(['away', 'near', 'far'] as const).flatMap(where => [
      byRelay(where, STEADY, false),
      byRelay(where, STEADY, true),
    ]),
    byRelay('near', BUSY, true),
    ...[false, true].flatMap(isKept => [
      reference('answer-at-once', isKept),
      reference('answer-when-synced', isKept),
    ]),
    ...(['near', 'far'] as const).flatMap(where => [directly(where, false), directly(where, true)]),
  ]
}

function connections(isKept: boolean): string {
  return isKept ? 'a kept connection' : 'a new connection each'
}

/** Both in each round, one after the other. */
async function spools(bench: Bench): Promise<Pick<RelayMeasured, 'spooled' | 'directPerSecond'>> {
  const events = bench.quick ? SPOOLED.quick : SPOOLED.full
  const few = { ...bench, rounds: Math.min(bench.rounds, SPOOL_ROUNDS) }
  const turns: Turn<{ perSecond: number; spooled?: Spooled }>[] = [
    {
      name: 'relay',
      title: `a spool of ${thousands(events)}, drained`,
      run: async () => {
        const spooled = await spool(bench, events)
        return { perSecond: spooled.drainedPerSecond, spooled }
      },
    },
    {
      name: 'direct',
      title: `${thousands(events)} published by createTracker`,
      run: async () => {
        const tracked = await withBroker(bench, 'near', amqpUrl => {
          const options = { amqpUrl, events, eventsPerSecond: 0, withoutBroker: false }
          return runContender<Tracked>('track-views', options, bench.folder)
        })
        return { perSecond: tracked.confirmedPerSecond }
      },
    },
  ]
  const runs = await takeTurns(few, turns, ({ perSecond, spooled }) => {
    const memory = spooled && `, memory ${Object.values(bytesOf(spooled)).map(megabytes).join(', ')}`
    return `${thousands(perSecond)} events/s${memory ?? ''}`
  })
  return {
    spooled: runs.get('relay')!.map(({ spooled }) => spooled!),
    directPerSecond: runs.get('direct')!.map(({ perSecond }) => perSecond),
  }
}

function bytesOf({ fillingBytes, restingBytes, drainingBytes }: Spooled) {
  return { fillingBytes, restingBytes, drainingBytes }
}

function callsTable(calls: RelayMeasured['calls']): string {
  return table(
    ['', '', 'p50', 'p99', 'longest', 'calls/s', "relay's CPU, ms per 1,000"],
    calls.map(({ title, where, runs }) => {
      const ofRuns = (value: (run: Called) => number): Summary => summarize(runs.map(value))
      const cpu = ofRuns(run => run.relayCpuMsPer1000).median
      return [
        title,
        title.startsWith('a server') ? '' : WHERE[where],
        withRange(
          ofRuns(({ p50Ms }) => p50Ms),
          milliseconds,
        ),
        withRange(
          ofRuns(({ p99Ms }) => p99Ms),
          milliseconds,
        ),
        milliseconds(ofRuns(({ maxMs }) => maxMs).median),
        thousands(ofRuns(({ callsPerSecond }) => callsPerSecond).median),
        cpu === 0 ? '' : thousands(cpu),
      ]
    }),
  )
}

function spoolTable(spooled: readonly Spooled[], directPerSecond: readonly number[]): string {
  const ofRuns = (value: (run: Spooled) => number): Summary => summarize(spooled.map(value))
  const drained = spooled.map(({ drainedPerSecond }) => drainedPerSecond)
  const rate = (summary: Summary) => withRange(summary, thousands)
  return table(
    [
      `${thousands(spooled[0]!.events)} events`,
      'events/s',
      'memory of the relay, at most',
      'to createTracker',
    ],
    [
      [
        'taken, the broker away',
        rate(ofRuns(run => run.acceptedPerSecond)),
        withRange(
          ofRuns(run => run.fillingBytes),
          megabytes,
        ),
        '',
      ],
      [
        'at rest',
        '',
        withRange(
          ofRuns(run => run.restingBytes),
          megabytes,
        ),
        '',
      ],
      [
        'drained, the broker back',
        rate(summarize(drained)),
        withRange(
          ofRuns(run => run.drainingBytes),
          megabytes,
        ),
        withRange(ratios(drained, directPerSecond), value => value.toFixed(2)),
      ],
      ['createTracker, the same events', rate(summarize(directPerSecond)), '', '1.00'],
    ],
  )
}
