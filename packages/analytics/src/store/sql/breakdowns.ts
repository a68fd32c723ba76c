/**
 * How breakdowns are kept. The site's day is a pack that each batch adds to. So is a post's day, if the batch has several views
 * of the post. For posts with few views only the ids of their rows are noted: these rows are added when somebody asks, and packed
 * once there are many. So a post with few views costs little, and a post with many is not written again for each view.
 *
 * Whenever a batch is committed, each counted row is in its post's pack, or its id is in `post_view_unpacked`.
 */

import { settingsOn } from '../bots-before.ts'
import { boundOf, NO_BOUND, SITE } from '../bounds.ts'
import type { PostCount } from '../counts.ts'
import type { Day } from '../days.ts'
import { DIMENSION_COLUMNS, KEPT_OF_DIMENSIONS, valuesIn } from '../dimensions.ts'
import { type CountableRow, KEPT } from '../kept.ts'
import { addViews, Pack, type Views } from '../pack.ts'
import { type Dialect, isSettled, placeholders, type SqlRow, type SqlValue, type State } from './sql.ts'
import { ask, type Statements } from './statements.ts'
import { groupsOf } from './steps.ts'

/** A batch packs the rows of a post at once if it has this many of them. */
const PACKED_AT_ONCE = 8
/** Rows of other posts are packed once this many have come. */
const UNPACKED_ROWS = 128
/** Most posts, or days of posts, that one statement names. */
const AT_ONCE = 100
/** Below the 1 MiB that every server must take, because a text grows when its quotation marks are escaped for MySQL. */
const STATEMENT_BYTES = 250_000

/** A row of a batch, with the id that it was given. */
export interface NumberedRow<Row extends CountableRow = CountableRow> {
  id: number
  row: Row
}

/** Packs of posts, or of the site, by day. */
export class Packs {
  readonly #byPost = new Map<string, Map<Day, Pack>>()

  of(post: string, day: Day): Pack {
    let days = this.#byPost.get(post)
    if (days === undefined) {
      days = new Map()
      this.#byPost.set(post, days)
    }
    let pack = days.get(day)
    if (pack === undefined) {
      pack = new Pack()
      days.set(day, pack)
    }
    return pack
  }

  *[Symbol.iterator](): Generator<{ post: string; day: Day; pack: Pack }> {
    for (const [post, days] of this.#byPost) {
      for (const [day, pack] of days) yield { post, day, pack }
    }
  }
}

/**
 * Whether a post's rows are due to be packed: whether they have passed another multiple of `UNPACKED_ROWS`.
 *
 * @param seen its views and bots, including this batch
 */
export function isDue({ views, bots }: PostCount, seen: number): boolean {
  return Math.floor(seen / UNPACKED_ROWS) > Math.floor((seen - views - bots) / UNPACKED_ROWS)
}

/** Those of the posts of a batch that are due. `totals`: `post_uuid` and `seen` of each. */
export function duePosts(posts: readonly PostCount[], totals: readonly SqlRow[]): string[] {
  const seen = new Map(totals.map(row => [row['post_uuid'], Number(row['seen'])]))
  return posts.filter(count => isDue(count, seen.get(count.postUuid) ?? 0)).map(({ postUuid }) => postUuid)
}

/** How many views and bots a total has, in SQL: at least as many as the post has rows. */
export const SEEN = 'views + COALESCE(bots, 0)'

/** Adds to the packs that are stored, each within its bound. */
export function* addToPacks(state: State, packs: Packs): Statements<void> {
  for (const some of groupsOf(packs, AT_ONCE)) {
    const stored = yield* packsOf(some)
    for (const each of some) {
      const { post, day, pack } = each
      const text = stored.get(keyOf(post, day))
      each.pack = Pack.parse(text)
      // A database of an earlier version may hold more values for a day that is not settled.
      each.pack.cutTo(boundOf(post, false))
      each.pack.merge(pack, boundOf(post, isSettled(state, day)))
    }
    yield* writePacks(some)
  }
}

/** A post, or the site, on a day. */
export interface Place {
  post: string
  day: Day
}

function keyOf(post: string, day: Day): string {
  return `${day} ${post}`
}

const THESE = '(date = ? AND post_uuid = ?)'

function* packsOf(places: readonly Place[]): Statements<Map<string, string>> {
  const rows = yield* ask(
    `SELECT date, post_uuid, counts FROM post_view_breakdowns WHERE ${anyOf(THESE, places.length)}`,
    places.flatMap(({ post, day }) => [day, post]),
  )
  return new Map(
    rows.map(row => [keyOf(String(row['post_uuid']), String(row['date'])), String(row['counts'])]),
  )
}

/** Writes packs in place of those that are stored. */
export function* writePacks(packs: readonly (Place & { pack: Pack })[]): Statements<void> {
  for (const some of groupsOf(packs, AT_ONCE)) {
    yield* ask(
      `DELETE FROM post_view_breakdowns WHERE ${anyOf(THESE, some.length)}`,
      some.flatMap(({ post, day }) => [day, post]),
    )
    const kept = some.filter(({ pack }) => !pack.isEmpty)
    yield* insertTexts(kept.map(({ post, day, pack }) => [day, post, pack.toString()]))
  }
}

/** In statements that are no longer than servers must take. One text alone may be longer than `STATEMENT_BYTES`. */
function* insertTexts(rows: readonly [day: Day, post: string, counts: string][]): Statements<void> {
  let some: SqlValue[][] = []
  let bytes = 0
  for (const row of rows) {
    const more = Buffer.byteLength(row[2])
    if (some.length > 0 && bytes + more > STATEMENT_BYTES) {
      yield* insert('post_view_breakdowns (date, post_uuid, counts)', some)
      some = []
      bytes = 0
    }
    some.push(row)
    bytes += more
  }
  yield* insert('post_view_breakdowns (date, post_uuid, counts)', some)
}

/** Leaves the values with the most views in a pack, and the others as a sum. Packs what is not packed first: it counts as well. */
export function* cutPack(state: State, place: Place): Statements<void> {
  if (place.post !== SITE) yield* packRows(state, [place.post])
  const [text] = (yield* packsOf([place])).values()
  const pack = Pack.parse(text)
  if (pack.cutTo(boundOf(place.post, true))) yield* writePacks([{ ...place, pack }])
}

function* insert(into: string, rows: readonly SqlValue[][]): Statements<void> {
  if (rows.length === 0) return
  const row = `(${placeholders(rows[0]!.length)})`
  yield* ask(`INSERT INTO ${into} VALUES ${rows.map(() => row).join(', ')}`, rows.flat())
}

function anyOf(condition: string, count: number): string {
  return Array.from({ length: count }, () => condition).join(' OR ')
}

/** Packs those rows of the posts that are not packed yet. */
export function* packRows(state: State, posts: readonly string[]): Statements<void> {
  for (const some of groupsOf(posts, AT_ONCE)) {
    const ofThese = ({ post, postKey }: Dialect) =>
      `post_view_unpacked.${post} IN (${some.map(() => postKey('?')).join(', ')})`
    const packs = new Packs()
    for (const row of yield* ask(
      dialect => `
        SELECT post_views.post_uuid AS post_uuid, day, bot, ${DIMENSION_COLUMNS.join(', ')}
        FROM post_view_unpacked JOIN post_views ON post_views.id = post_view_unpacked.id
        WHERE ${ofThese(dialect)}`,
      some,
    )) {
      // A row that nobody has counted has no day.
      if (row['day'] === null) continue
      const pack = packs.of(String(row['post_uuid']), String(row['day']))
      const views = viewsOf(state, String(row['day']), Number(row['bot']) === 1)
      for (const kept of KEPT_OF_DIMENSIONS) {
        for (const [name, value] of valuesIn(row[KEPT[kept].column], kept))
          pack.of(name).add(value, views, NO_BOUND)
      }
    }
    yield* addToPacks(state, packs)
    yield* ask(dialect => `DELETE FROM post_view_unpacked WHERE ${ofThese(dialect)}`, some)
  }
}

const VIEW: Views = { views: 1, bots: 0 }
const VIEW_BY_BOT: Views = { views: 1, bots: 1 }
const EXCLUDED_BOT: Views = { views: 0, bots: 1 }

function viewsOf(state: State, day: Day, isBot: boolean): Views {
  if (!isBot) return VIEW
  return settingsOn(state, day).bots === 'exclude' ? EXCLUDED_BOT : VIEW_BY_BOT
}

/**
 * The views of some rows by what the rows keep. A batch has the same few texts again and again, and some of them hold the values of
 * several dimensions, so values are counted once for each text and not for each row.
 */
class Tally {
  readonly #kept = KEPT_OF_DIMENSIONS.map(name => ({ name, views: new Map<unknown, Views>() }))

  add(row: CountableRow, added: Views): void {
    for (const { name, views } of this.#kept) {
      const kept = row[name]
      const before = views.get(kept)
      if (before === undefined) views.set(kept, { ...added })
      else addViews(before, added)
    }
  }

  addTo(pack: Pack): void {
    for (const { name: of, views } of this.#kept) {
      for (const [kept, added] of views) {
        for (const [name, value] of valuesIn(kept, of)) pack.of(name).add(value, added, NO_BOUND)
      }
    }
  }
}

/** What the new rows of a batch add to breakdowns. */
export class BatchBreakdowns {
  readonly #state: State
  readonly #site = new Map<Day, Tally>()
  /** Of posts with many rows. */
  readonly #posts = new Map<string, Map<Day, Tally>>()
  /** The rows of other posts. */
  readonly #few = new Map<string, NumberedRow[]>()

  constructor(state: State) {
    this.#state = state
  }

  add(id: number, row: CountableRow): void {
    this.#addTo(this.#site, row)
    const post = row.postUuid
    const days = this.#posts.get(post)
    if (days !== undefined) {
      this.#addTo(days, row)
      return
    }
    const rows = this.#few.get(post)
    if (rows === undefined) {
      this.#few.set(post, [{ id, row }])
    } else if (rows.push({ id, row }) === PACKED_AT_ONCE) {
      const days = new Map<Day, Tally>()
      for (const { row } of rows) this.#addTo(days, row)
      this.#posts.set(post, days)
      this.#few.delete(post)
    }
  }

  #addTo(days: Map<Day, Tally>, row: CountableRow): void {
    let tally = days.get(row.day)
    if (tally === undefined) {
      tally = new Tally()
      days.set(row.day, tally)
    }
    tally.add(row, viewsOf(this.#state, row.day, row.bot))
  }

  packs(): Packs {
    const packs = new Packs()
    for (const [post, days] of [[SITE, this.#site] as const, ...this.#posts]) {
      for (const [day, tally] of days) tally.addTo(packs.of(post, day))
    }
    return packs
  }

  /** The rows to note as unpacked; each engine writes them in its own way. */
  unpacked(): NumberedRow[] {
    return [...this.#few.values()].flat()
  }
}

/** The statements for one post and day, for `postviews schema`. */
export const BREAKDOWN_STATEMENTS = [
  `SELECT counts FROM post_view_breakdowns WHERE ${THESE}`,
  'INSERT INTO post_view_breakdowns (date, post_uuid, counts) VALUES (?, ?, ?)',
  'DELETE FROM post_view_unpacked WHERE post_uuid = ?',
]
