/** Which hosts a settled day keeps, chosen anew from its rows: `rebuild` takes out of the remainder what belongs among them. */

import { NOWHERE, REMAINDER } from '../bounds.ts'
import type { Day } from '../calendar.ts'
import { byViews, type Compared, type Unkept } from './compare-hosts.ts'
import { type HostViews, ROWS_AT_ONCE, viewsFromHosts, viewsOfIds } from './host-rows.ts'
import { hasRows } from './recount.ts'
import {
  addToStored,
  addViews,
  boundHosts,
  type HostTable,
  POST_HOSTS,
  placed,
  SITE_HOSTS,
} from './settle.ts'
import { figure, isSettled, type SqlEngine } from './sql.ts'
import { groupsOf } from './steps.ts'
import { PutRightMeanwhile, type Turn } from './turn.ts'

const HOSTS_AT_ONCE = 500

type AfterStep = () => Promise<void>

/** A host to be kept, of a post or of the site (null). */
interface Chosen {
  post: string | null
  host: string
  /** By the rows that were counted so far. */
  views: number
}

/** Keeps the hosts of a settled day that have most views by its rows. Returns how many were not kept before. */
export async function chooseAnew(
  engine: SqlEngine,
  turn: Turn,
  day: Day,
  { unkept: { posts, site }, unknown }: Compared,
  afterStep: AfterStep,
): Promise<number> {
  const places: [string | null, readonly Unkept[]][] = [...posts]
  if (site.length > 0) places.push([null, site])

  const chosen: Chosen[] = []
  for (const [post, hosts] of places) {
    await boundHosts(engine, tableOf(post), { day, post }, afterStep)
    for (const { host } of await best(engine, day, post, hosts)) chosen.push({ post, host, views: 0 })
    await afterStep()
  }
  if (chosen.length === 0) return 0
  await new Removal(engine, turn, day, chosen).run(unknown, afterStep)
  for (const [post] of places) await boundHosts(engine, tableOf(post), { day, post }, afterStep)
  return chosen.length
}

function tableOf(post: string | null): HostTable {
  return post === null ? SITE_HOSTS : POST_HOSTS
}

/** Those that have more views than some that are kept, or for which there is room. */
async function best(
  engine: SqlEngine,
  day: Day,
  post: string | null,
  unkept: readonly Unkept[],
): Promise<Unkept[]> {
  const table = tableOf(post)
  const { where, values } = placed({ day, post })
  const stored = await engine.reader.all(
    `SELECT host, view_count FROM ${table.name} WHERE ${where} AND host NOT IN ('${NOWHERE}', '${REMAINDER}')`,
    values,
  )
  const kept = stored.map(row => ({ host: String(row['host']), views: Number(row['view_count']) }))
  const first = new Set([...kept, ...unkept].sort(byViews).slice(0, table.kept))
  return unkept.filter(host => first.has(host))
}

/**
 * Moves hosts with all their views out of the remainder. The day's rows are read once for all of them; what is counted
 * meanwhile is in the last rows, which each step counts while no batch is on its way.
 */
class Removal {
  readonly #engine: SqlEngine
  readonly #turn: Turn
  readonly #day: Day
  readonly #chosen: readonly Chosen[]
  /** By post (null: the site) and host. */
  readonly #places = new Map<string | null, Map<string, Chosen>>()
  /** Every row up to this id is. */
  #counted = 0

  constructor(engine: SqlEngine, turn: Turn, day: Day, chosen: readonly Chosen[]) {
    this.#engine = engine
    this.#turn = turn
    this.#day = day
    this.#chosen = chosen
    for (const one of chosen) {
      const hosts = this.#places.get(one.post) ?? new Map<string, Chosen>()
      this.#places.set(one.post, hosts.set(one.host, one))
    }
  }

  async run(unknown: ReadonlySet<string>, afterStep: AfterStep): Promise<void> {
    const { reader } = this.#engine
    this.#counted = await this.#lastRow()
    for await (const rows of viewsFromHosts(this.#engine, reader, this.#day, unknown, this.#counted)) {
      for (const [chosen, views] of this.#among(rows)) chosen.views += views
      await afterStep()
    }
    for (const some of groupsOf(this.#chosen, HOSTS_AT_ONCE)) {
      await this.#catchUp(afterStep)
      await this.#takeOut(some)
      await afterStep()
    }
  }

  /** Counts what has been committed meanwhile, so that what is left for a step is little. */
  async #catchUp(afterStep: AfterStep): Promise<void> {
    for (;;) {
      const last = await this.#lastRow()
      if (last - this.#counted <= ROWS_AT_ONCE) return
      while (this.#counted < last) {
        const next = Math.min(last, this.#counted + ROWS_AT_ONCE)
        const rows = await viewsOfIds(this.#engine, this.#engine.reader, this.#day, [this.#counted, next])
        for (const [chosen, views] of this.#among(rows)) chosen.views += views
        this.#counted = next
        await afterStep()
      }
    }
  }

  /** The id of the last row, at a moment when no batch is on its way: every row up to it is committed. */
  #lastRow(): Promise<number> {
    return this.#engine.exclusive(async client => {
      const [row] = await client.all('SELECT MAX(id) AS last FROM post_views')
      return figure(row!['last']) ?? 0
    })
  }

  async #takeOut(some: readonly Chosen[]): Promise<void> {
    const day = this.#day
    await this.#turn.change(async (client, state) => {
      if (!isSettled(state, day) || !hasRows(state, day)) throw new PutRightMeanwhile()
      // Numbers of its own: a transaction that another is in the way of is done again.
      const views = new Map(some.map(chosen => [chosen, chosen.views]))
      const rest = [this.#counted, Number.MAX_SAFE_INTEGER] as const
      for (const [chosen, more] of this.#among(await viewsOfIds(this.#engine, client, day, rest))) {
        const before = views.get(chosen)
        if (before !== undefined) views.set(chosen, before + more)
      }
      const moved = new Map<string | null, number>()
      for (const [{ post, host }, all] of views) {
        await addViews(client, tableOf(post), { day, post }, host, all)
        moved.set(post, (moved.get(post) ?? 0) + all)
      }
      for (const [post, all] of moved) {
        await addToStored(client, tableOf(post), { day, post }, REMAINDER, -all)
      }
    })
  }

  /** What rows add to hosts that are chosen, of their post and of the site. */
  *#among(rows: readonly HostViews[]): Generator<[Chosen, number]> {
    for (const { post, host, views } of rows) {
      for (const place of [post, null]) {
        const chosen = this.#places.get(place)?.get(host)
        if (chosen !== undefined) yield [chosen, views]
      }
    }
  }
}
