/**
 * Compares the breakdowns of a day with its raw rows. Which values are kept is not checked: each stored value must match its
 * rows, and the sum of the others must match all other rows.
 */

import { DIMENSION_NAMES, type DimensionName } from '@postviews/client/src/figures.ts'
import { settingsOn } from '../bots-before.ts'
import { NO_BOUND, NO_VALUE, SITE } from '../bounds.ts'
import type { Day } from '../days.ts'
import { differences } from '../differences.ts'
import { Breakdown, Pack, type Views } from '../pack.ts'
import type { Difference } from '../store.ts'
import { rowsOfBreakdowns, SeenValues, unknownPosts } from './breakdown-rows.ts'
import { hasRows } from './recount.ts'
import { SELECT_STATE, type SqlClient, type SqlEngine, type State, toState } from './sql.ts'

const PACKS_AT_ONCE = 200

/** A value whose views do not match the rows. `value` null: all values that are not kept. */
interface Wrong {
  post: string
  name: DimensionName
  value: string | null
  expected: Views | null
  found: Views | null
}

/** The differences of the day. If its raw rows are gone: only whether the site's values add up to those of the posts. */
export async function verifyBreakdowns(
  engine: SqlEngine,
  client: SqlClient,
  state: State,
  day: Day,
  afterStep: () => void = () => {},
): Promise<Difference[]> {
  const seen = new SeenValues()
  try {
    await readDay(engine, client, state, day, seen, afterStep)
    const wrong: Wrong[] = []
    if (hasRows(state, day)) for await (const one of wrongOf(client, day, seen, afterStep)) wrong.push(one)
    else wrong.push(...(await wrongSums(client, day, seen)))
    return wrong.flatMap(one => toDifferences(day, one))
  } finally {
    seen.close()
  }
}

function toDifferences(day: Day, { post, name, value, expected, found }: Wrong): Difference[] {
  return differences(
    post === SITE ? `site_${name}` : name,
    `${post === SITE ? 'site' : `post ${post}`} on ${day} from ${nameOf(value)}`,
    ...comparable(expected, found),
  )
}

function nameOf(value: string | null): string {
  if (value === null) return 'other hosts'
  return value === NO_VALUE ? 'nowhere' : value
}

interface Comparable {
  view_count: number
  bots?: number | null
}

/** Bots are compared only if both sides know their number. */
function comparable(expected: Views | null, found: Views | null): [Comparable | null, Comparable | null] {
  const knowsBots = expected?.bots != null && found?.bots != null
  const toSide = (side: Views | null) =>
    side === null ? null : { view_count: side.views, ...(knowsBots && { bots: side.bots }) }
  return [toSide(expected), toSide(found)]
}

function isEqual(expected: Views | null, found: Views | null): boolean {
  return differences('row', '', ...comparable(expected, found)).length === 0
}

/**
 * Reads the day's rows: the packed ones for the posts, all of them for the site. If some rows are gone, reads only the remaining
 * ones that are not packed, and only for the posts.
 */
export async function readDay(
  engine: SqlEngine,
  client: SqlClient,
  state: State,
  day: Day,
  seen: SeenValues,
  afterStep: () => void,
): Promise<void> {
  const unknown = await unknownPosts(engine, client, state, day)
  const areThere = hasRows(state, day)
  const asCounted = { ...engine, settings: settingsOn(state, day) }
  for await (const rows of rowsOfBreakdowns(asCounted, client, day, { unknown })) {
    seen.add(rows, ({ isPacked }) => isPacked === areThere, areThere)
    afterStep()
  }
}

export async function* packsOfDay(
  client: SqlClient,
  day: Day,
): AsyncGenerator<{ post: string; pack: Pack }[]> {
  for (let after: string | null = null; ; ) {
    const rows = await client.all(
      `SELECT post_uuid, counts FROM post_view_breakdowns
       WHERE date = ? ${after === null ? '' : 'AND post_uuid > ?'}
       ORDER BY post_uuid
       LIMIT ${PACKS_AT_ONCE}`,
      after === null ? [day] : [day, after],
    )
    yield rows.map(row => ({ post: String(row['post_uuid']), pack: Pack.parse(String(row['counts'])) }))
    if (rows.length < PACKS_AT_ONCE) return
    after = String(rows.at(-1)!['post_uuid'])
  }
}

/** What was counted on a day whose rows are gone: packs of posts, the remaining rows that are not packed, and the site's pack. */
export async function* packsOfGoneDay(
  engine: SqlEngine,
  day: Day,
): AsyncGenerator<{ post: string; pack: Pack }[]> {
  const client = engine.reader
  const state = toState((await client.all(SELECT_STATE))[0]!)
  const unpacked = new SeenValues()
  const addTo = (pack: Pack, post: string) => {
    for (const name of DIMENSION_NAMES) {
      for (const [value, views] of unpacked.of(post, name)) pack.of(name).add(value, views, NO_BOUND)
    }
    return { post, pack }
  }
  try {
    await readDay(engine, client, state, day, unpacked, () => {})
    const bare = new Set(unpacked.places())
    for await (const packs of packsOfDay(client, day)) {
      yield packs.map(({ post, pack }) => addTo(pack, post))
      for (const { post } of packs) bare.delete(post)
    }
    yield [...bare].map(post => addTo(new Pack(), post))
  } finally {
    unpacked.close()
  }
}

/** Yields the values that are wrong. Both sides are read in the order of posts. */
export async function* wrongOf(
  client: SqlClient,
  day: Day,
  seen: SeenValues,
  afterStep: () => void,
): AsyncGenerator<Wrong> {
  const places = seen.places()
  let place = places.next()
  for await (const packs of packsOfDay(client, day)) {
    for (const { post, pack } of packs) {
      for (; !place.done && isBefore(place.value, post); place = places.next()) {
        yield* wrongOfPlace(place.value, new Pack(), seen)
      }
      if (!place.done && place.value === post) place = places.next()
      yield* wrongOfPlace(post, pack, seen)
    }
    afterStep()
  }
  for (; !place.done; place = places.next()) yield* wrongOfPlace(place.value, new Pack(), seen)
}

/** Compares by bytes, as databases do and JavaScript does not. */
function isBefore(one: string, other: string): boolean {
  return Buffer.compare(Buffer.from(one), Buffer.from(other)) < 0
}

function* wrongOfPlace(post: string, pack: Pack, seen: SeenValues): Generator<Wrong> {
  for (const name of DIMENSION_NAMES) {
    const { values, others } = pack.of(name)
    const left = new Map(values)
    const rest = new Breakdown()
    for (const [value, expected] of seen.of(post, name)) {
      const found = left.get(value) ?? null
      left.delete(value)
      if (found === null && others !== null && value !== NO_VALUE) rest.addToOthers(expected)
      else if (!isEqual(expected, found)) yield { post, name, value, expected, found }
    }
    for (const [value, found] of left) yield { post, name, value, expected: null, found }
    if (!isEqual(rest.others, others)) yield { post, name, value: null, expected: rest.others, found: others }
  }
}

/** Compares the site's values of a day whose rows are gone with the sums of its posts' values. */
async function wrongSums(client: SqlClient, day: Day, unpacked: SeenValues): Promise<Wrong[]> {
  const wrong: Wrong[] = []
  for (const name of DIMENSION_NAMES) {
    const sums = new Breakdown()
    let total = 0
    let site: Breakdown | undefined
    // False if values were left out anywhere: the others do not tell which values they contain.
    let isComplete = true
    const add = (value: string, views: Views) => {
      total += views.views
      if (isComplete) sums.add(value, views, NO_BOUND)
    }
    for await (const packs of packsOfDay(client, day)) {
      for (const { post, pack } of packs) {
        const breakdown = pack.of(name)
        if (breakdown.others !== null) isComplete = false
        if (post === SITE) {
          site = breakdown
          continue
        }
        for (const [value, views] of breakdown.values) add(value, views)
        total += breakdown.others?.views ?? 0
      }
    }
    for (const post of unpacked.places())
      for (const [value, views] of unpacked.of(post, name)) add(value, views)

    const found = site?.values ?? new Map<string, Views>()
    const ofSite = [...found.values()].reduce((sum, { views }) => sum + views, site?.others?.views ?? 0)
    if (isComplete) {
      for (const value of new Set([...sums.values.keys(), ...found.keys()])) {
        const [must, is] = [sums.values.get(value) ?? null, found.get(value) ?? null]
        if (!isEqual(must, is)) wrong.push({ post: SITE, name, value, expected: must, found: is })
      }
    } else if (total !== ofSite) {
      const [expected, found] = [total, ofSite].map(views => ({ views, bots: null })) as [Views, Views]
      wrong.push({ post: SITE, name, value: 'all hosts', expected, found })
    }
  }
  return wrong
}
