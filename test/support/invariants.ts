/**
 * What must hold after every fault, read directly from the database and the broker, past the service:
 *
 * | | |
 * |---|---|
 * | I1 | every confirmed event is stored or a dead letter, and the good ones are stored: nothing lost |
 * | I2 | every stored row was published, and holds its event's data: nothing invented |
 * | I3 | the ids of the stored rows are distinct: nothing counted twice |
 * | I4 | every aggregate equals a recount of the raw rows, totals equal the sum of days, and `verify` agrees |
 * | I5 | the distinct set-aside-ids are exactly the bad ones: no good one among them, no bad one counted |
 */

import assert from 'node:assert/strict'
import { brokerUrls } from '@postviews/client/src/broker-urls.ts'
import { CONSUMED_QUEUES, DEAD_QUEUE } from '@postviews/client/src/index.ts'
import { connect } from 'amqplib'
import { NEWEST_RULES } from '../../packages/analytics/src/store/zone-rules.ts'
import type { AmqpTap } from './amqp-tap.ts'
import type { Row, TestDatabase } from './engines.ts'
import { type Book, badId, type Ledger } from './ledger.ts'
import type { Plan } from './planned.ts'
import { messageCount } from './published.ts'
import { postviews, type Service, type Surroundings } from './service.ts'
import { until } from './until.ts'

export interface Outcome {
  surroundings: Surroundings
  database: TestDatabase
  ledger: Ledger
  plans: readonly Plan[]
  /** Services that still run. They are stopped in order, and must leave nothing unacknowledged. */
  services: readonly Service[]
  /** Watches between the services and the broker. */
  tap: Pick<AmqpTap, 'inHand'>
  drainDeadlineMs?: number
  /** Dead letters were replayed: if a crash had duplicated one, each copy became a dead letter with its own id. */
  replayed?: boolean
}

/** A message in `postviews.dead`. */
export interface DeadLetter {
  setAsideId: string
  reason: string
  body: Buffer
}

/** Waits until everything has drained by itself (I7), stops the services, and checks I1 to I5. */
export async function assertInvariants(outcome: Outcome): Promise<void> {
  const { surroundings, database, ledger, plans, services } = outcome
  const { settings } = surroundings
  const amqpUrl = someNode(surroundings)
  const book = await ledger.read()
  const planned = together(plans)

  await untilDrained(outcome, book, planned)
  for (const service of services) assert.equal((await service.end('SIGTERM')).code, 0)
  for (const queue of CONSUMED_QUEUES)
    assert.equal(await messageCount(amqpUrl, queue), 0, `unacknowledged in ${queue}`)

  const dead = await deadLetters(amqpUrl)
  const zone = settings?.['STATS_TIMEZONE'] ?? 'UTC'
  assertStored(await storedViews(database), dead, book, planned, zone, plans)
  assertDead(dead, book, planned, outcome.replayed === true)
  // Also counts the rows that no consumer has counted, on engines that count later than a batch.
  const { code, output } = await postviews(surroundings, 'verify')
  assert.equal(code, 0, `I4: verify found\n${output}`)
  await assertAddsUp(database)
}

/** In the end, all nodes of a cluster give the same answers. */
function someNode({ amqpUrl }: Surroundings): string {
  return brokerUrls(amqpUrl)[0]!
}

/** After this long without change, nothing more can arrive: waiting would not bring lost views back. */
const NOTHING_MOVES_MS = 5_000

async function untilDrained(outcome: Outcome, book: Book, planned: Planned): Promise<void> {
  const { surroundings, database, tap, drainDeadlineMs = 60_000 } = outcome
  const good = planned.views
    .keys()
    .filter(id => book.confirmed.has(id))
    .toArray().length
  const bad = planned.bad
    .keys()
    .filter(id => book.confirmed.has(id))
    .toArray().length
  const depthOf = (queue: string) => messageCount(someNode(surroundings), queue)
  let stored = -1
  let last = 'nothing could be asked'
  let movedAt = Date.now()
  const isDrained = async () => {
    const before = stored
    stored = await countRows(database)
    let queued = 0
    for (const queue of CONSUMED_QUEUES) queued += await depthOf(queue)
    last = `${stored} of ${good} stored, ${queued} in queues, ${tap.inHand} in hand`
    if (queued > 0 || tap.inHand > 0 || stored !== before) {
      movedAt = Date.now()
      return false
    }
    const isAllThere = stored >= good && (await depthOf(DEAD_QUEUE)) >= bad
    if (isAllThere) return true
    // A quorum queue without a leader also reports 0 messages. The test must not take that for lost views.
    return Date.now() - movedAt > NOTHING_MOVES_MS && (await nothingIsIn(someNode(surroundings)))
  }
  // The database or a queue may be unavailable at the moment.
  const isDrainedNow = () =>
    isDrained().catch(error => {
      last = String(error)
      return false
    })
  await until('I7: the queues are empty, and nothing is in hand', isDrainedNow, drainDeadlineMs).catch(
    error => {
      throw new Error(`${error.message}, but ${last}`)
    },
  )
}

/** Whether every queue answers that it has no message to deliver. */
async function nothingIsIn(amqpUrl: string): Promise<boolean> {
  const connection = await connect(amqpUrl)
  try {
    const channel = await connection.createChannel()
    for (const queue of CONSUMED_QUEUES) if ((await channel.get(queue)) !== false) return false
    return true
  } finally {
    // Closing returns a received message to its queue.
    await connection.close()
  }
}

/** Waits until at least that many views are stored. The database may be away for now, or not created yet. */
export async function untilStored(database: TestDatabase, views: number, deadlineMs?: number): Promise<void> {
  let last: unknown
  const isStored = async () => {
    last = await countRows(database).catch(error => error)
    return typeof last === 'number' && last >= views
  }
  await until(`${views} views are stored`, isStored, deadlineMs).catch(error => {
    throw new Error(`${error.message}, but ${last}`)
  })
}

export async function countRows(database: TestDatabase): Promise<number> {
  return Number((await database.query('SELECT COUNT(*) AS views FROM post_views'))[0]!['views'])
}

/** Everything in `postviews.dead`; the messages stay there. */
export async function deadLetters(amqpUrl: string): Promise<DeadLetter[]> {
  const connection = await connect(amqpUrl)
  try {
    const channel = await connection.createChannel()
    const letters: DeadLetter[] = []
    for (;;) {
      const message = await channel.get(DEAD_QUEUE)
      if (message === false) return letters
      const headers = message.properties.headers ?? {}
      letters.push({
        setAsideId: String(headers['set-aside-id']),
        reason: String(headers['reason']),
        body: message.content,
      })
    }
  } finally {
    // Closing returns all messages, because none was acknowledged.
    await connection.close()
  }
}

function together(plans: readonly Plan[]): Omit<Plan, 'messages'> {
  return {
    views: new Map(plans.flatMap(({ views }) => [...views])),
    bad: new Set(plans.flatMap(({ bad }) => [...bad])),
  }
}

type Planned = ReturnType<typeof together>

async function storedViews(database: TestDatabase): Promise<Row[]> {
  return database.query('SELECT LOWER(HEX(event_id)) AS id, post_uuid, viewed_at, day FROM post_views')
}

function assertStored(
  rows: readonly Row[],
  dead: readonly DeadLetter[],
  book: Book,
  planned: Planned,
  timeZone: string,
  plans: readonly Plan[],
): void {
  const stored = new Map(rows.map(row => [asUuid(row['id']), row]))
  assert.equal(stored.size, rows.length, 'I3: ids are stored twice')

  const isGood = (id: string) => planned.views.has(id)
  const deadIds = new Set(dead.map(({ body }) => badId(body)))
  const lost = new Set(book.confirmed.keys().filter(id => !(isGood(id) ? stored.has(id) : deadIds.has(id))))
  const amongDead = dead.filter(({ body }) =>
    [...body.toString().matchAll(IDS)].some(([, id]) => lost.has(id!)),
  ).length
  assertNone(
    lost,
    `I1: confirmed, and lost${whereLost(lost, plans)}; ${amongDead} of them as dead letters, ${book.returned.size} came back`,
  )

  const invented = stored.keys().filter(id => !book.attempted.has(id) || !isGood(id))
  assertNone(invented, 'I2: stored, and never published')
  const { changes } = NEWEST_RULES.zone(timeZone)!
  const dayOf = (moment: number) => {
    const { offset } = changes.findLast(({ from }) => from <= moment)!
    return new Date((moment + offset) * 1_000).toISOString().slice(0, 10)
  }
  const altered: string[] = []
  for (const [id, { post_uuid, viewed_at, day }] of stored) {
    const view = planned.views.get(id)!
    const expected = [view.postUuid, view.viewedAt, dayOf(view.viewedAt)]
    if (String([post_uuid, unixSeconds(viewed_at), day]) !== String(expected)) altered.push(`${id} on ${day}`)
  }
  assertNone(altered, 'I2: stored otherwise than published, or on another day')
}

const IDS = /"event_id":"([0-9a-f-]{36})"/g

/** For the error message: which messages held the lost views, grouped by exchange and routing key. */
function whereLost(lost: ReadonlySet<string>, plans: readonly Plan[]): string {
  const ways = new Map<string, { first: number; last: number; messages: number }>()
  const messages = plans.flatMap(plan => plan.messages)
  for (const [index, { exchange, routingKey, ids }] of messages.entries()) {
    if (!ids.some(id => lost.has(id))) continue
    const way = `${exchange}/${routingKey}`
    const known = ways.get(way) ?? { first: index, last: index, messages: 0 }
    ways.set(way, { ...known, last: index, messages: known.messages + 1 })
  }
  const texts = [...ways].map(
    ([way, { first, last, messages: count }]) =>
      ` (${count} messages to ${way}, from ${first} to ${last} of ${messages.length})`,
  )
  return texts.join('')
}

function assertDead(dead: readonly DeadLetter[], book: Book, planned: Planned, replayed: boolean): void {
  const wrongOnes = dead.filter(({ body }) => !planned.bad.has(badId(body)))
  const shown = wrongOnes.map(({ reason, body }) => `${reason}: ${body.toString('latin1').slice(0, 200)}`)
  assertNone(shown, 'I5: a dead letter, and not bad')
  const byId = new Map(dead.map(({ setAsideId, body }) => [setAsideId, badId(body)]))
  const expected = planned.bad.keys().filter(id => book.confirmed.has(id))
  assert.deepEqual(new Set(byId.values()), new Set(expected), 'I5: the bad ones, and nothing else')
  if (!replayed) assert.equal(byId.size, new Set(byId.values()).size, 'I5: one set-aside-id for each')
}

/** I4, counted by this function's own SQL, not the service's. */
export async function assertAddsUp(database: TestDatabase): Promise<void> {
  const rows = await database.query(
    'SELECT post_uuid, day, slice, LOWER(HEX(visitor)) AS visitor, logged_in, bot FROM post_views',
  )
  const days = new Map<string, number[]>()
  const posts = new Map<string, number[]>()
  const site = new Map<string, number[]>()
  const seen = new Set<string>()
  for (const { post_uuid, day, slice, visitor, logged_in, bot } of rows) {
    const reader = [post_uuid, day, slice, visitor].join(' ')
    const figures = [1, seen.has(reader) ? 0 : 1, Number(logged_in), Number(bot)]
    seen.add(reader)
    add(days, `${post_uuid} ${day}`, figures)
    add(posts, String(post_uuid), figures)
    add(site, String(day), figures)
  }
  const read = async (columns: string, views: string, table: string) => {
    const found = await database.query(
      `SELECT ${columns}, ${views} AS views, unique_views, logged_in, bots FROM ${table}`,
    )
    return new Map(
      found.map(({ views: count, unique_views, logged_in, bots, ...key }) => [
        Object.values(key).join(' '),
        [count, unique_views, logged_in, bots].map(Number),
      ]),
    )
  }
  assertSame(await read('post_uuid, date', 'view_count', 'post_view_aggregates'), days, 'a post on a day')
  assertSame(await read('post_uuid', 'views', 'post_view_totals'), posts, 'a post')
  assertSame(await read('date', 'view_count', 'site_view_aggregates'), site, 'the site on a day')
}

function add(sums: Map<string, number[]>, key: string, figures: number[]): void {
  const sum = sums.get(key)
  sums.set(key, sum === undefined ? figures : sum.map((value, index) => value + figures[index]!))
}

function assertSame(found: Map<string, number[]>, expected: Map<string, number[]>, what: string): void {
  const keys = new Set([...found.keys(), ...expected.keys()])
  const wrong = [...keys].filter(key => String(found.get(key)) !== String(expected.get(key)))
  assertNone(
    wrong.map(key => `${key}: ${found.get(key)}, must be ${expected.get(key)}`),
    `I4: views, unique views, logged in and bots of ${what} are not a recount`,
  )
}

function assertNone(found: Iterable<string>, what: string): void {
  const all = [...found]
  const some = all.slice(0, 5).join('; ')
  assert.equal(all.length, 0, `${what}: ${all.length}, for instance ${some}`)
}

function asUuid(hex: unknown): string {
  return String(hex).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/** SQLite stores Unix seconds; MariaDB a timestamp, in UTC on our connections. */
function unixSeconds(time: unknown): number {
  return typeof time === 'number' ? time : Date.parse(`${String(time).replace(' ', 'T')}Z`) / 1_000
}
