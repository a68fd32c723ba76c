/** What additional consumers of the same queues gain: they share the events, and the database's rows. */

import { runBacklog } from './backlog.ts'
import { benchEngines } from './bench.ts'
import { type BenchDatabase, type BenchEngine, expectedViews, withDatabase } from './databases.ts'
import { type BenchMessage, grouped, makeEvents, oneByOne } from './events.ts'
import { summarize } from './measure.ts'
import { part } from './part.ts'
import { postviews, startService } from './processes.ts'
import { ratios, takeTurns } from './rounds.ts'
import { decimal, table, thousands, withRange } from './tables.ts'

const COUNTS = [1, 2, 4] as const
const EVENTS = { full: 200_000, quick: 50_000 }
const KINDS = [
  { kind: 'one event a message', toMessages: oneByOne },
  { kind: 'grouped', toMessages: grouped },
] as const

interface ConsumersMeasured {
  events: number
  contenders: { title: string; consumers: number; eventsPerSecond: number[] }[]
}

export const CONSUMERS = part<ConsumersMeasured>({
  name: 'consumers',
  help: 'how fast 1, 2 and 4 consumers count together, on each engine',

  async measure(bench) {
    const count = bench.quick ? EVENTS.quick : EVENTS.full
    const events = makeEvents({ seed: 'consumers', count, untilMs: Date.now() })
    const expected = expectedViews(events)
    const turn = (engine: BenchEngine, consumers: number, messages: readonly BenchMessage[]) => () =>
      withDatabase(engine, async database => {
        const start = (amqpUrl: string) =>
          Promise.all(
            Array.from({ length: consumers }, () =>
              startService({ amqpUrl, databaseUrl: database.url, folder: bench.folder }),
            ),
          )
        const counts = { database, expected }
        await postviews(
          { amqpUrl: 'amqp://127.0.0.1', databaseUrl: database.url, folder: bench.folder },
          'migrate',
        )
        const { wrong, eventsPerSecond } = await runBacklog(bench, {
          total: count,
          messages,
          counts,
          start,
          // Consumers that wait for SQLite's lock report their counts late.
          counted: () => viewsIn(database),
        })
        if (wrong !== null) throw new Error(wrong)
        return eventsPerSecond
      })
    const contenders: ConsumersMeasured['contenders'] = []
    for (const engine of await benchEngines(bench)) {
      for (const { kind, toMessages } of KINDS) {
        const messages = toMessages(events)
        const title = `${engine.name}, ${kind}`
        const turns = COUNTS.map(consumers => ({
          name: String(consumers),
          title: `${title}, ${consumers} ${consumers === 1 ? 'consumer' : 'consumers'}`,
          run: turn(engine, consumers, messages),
        }))
        const rates = await takeTurns(bench, turns, rate => `${thousands(rate)} events/s`)
        for (const consumers of COUNTS)
          contenders.push({ title, consumers, eventsPerSecond: rates.get(String(consumers))! })
      }
    }
    return { events: count, contenders }
  },

  show: ({ contenders }) => ({
    tables: {
      consumers: table(
        [
          'events/s',
          ...COUNTS.map(count => (count === 1 ? '1 consumer' : `${count} consumers`)),
          '4 beside 1',
        ],
        [...new Set(contenders.map(({ title }) => title))].map(title => {
          const rates = COUNTS.map(
            count =>
              contenders.find(each => each.title === title && each.consumers === count)!.eventsPerSecond,
          )
          return [
            title,
            ...rates.map(some => withRange(summarize(some), thousands)),
            withRange(ratios(rates.at(-1)!, rates[0]!), decimal),
          ]
        }),
      ),
    },
    figures: {},
  }),
})

async function viewsIn(database: BenchDatabase): Promise<number> {
  const [found] = await database.query(database.viewsRecorded)
  return Number(found!['views'])
}
