/**
 * The hosts of a day as its raw rows tell them, held against what is stored: some thousand rows at a time, and never more
 * than some hundred thousand hosts in memory. Where there are more, they are looked at in parts, each its own share of them.
 */

import { NOWHERE, REMAINDER } from '../bounds.ts'
import type { Day } from '../calendar.ts'
import { ROWS_AT_ONCE, unknownPosts, viewsFromHosts } from './host-rows.ts'
import { type HostTable, POST_HOSTS, SITE_HOSTS } from './settle.ts'
import { isSettled, type SqlClient, type SqlEngine, type SqlRow, type State } from './sql.ts'

/** A host's views of a day that are not what they must be; null: none are, or none must be stored. */
export interface Wrong {
  table: HostTable
  post: string | null
  host: string
  expected: number | null
  found: number | null
}

/** A host that a settled day has in its remainder, among those with most views there. */
export interface Unkept {
  host: string
  views: number
}

export interface Compared {
  wrong: Wrong[]
  unkept: { posts: Map<string, Unkept[]>; site: Unkept[] }
  /** Posts of which adopted rows tell no hosts. */
  unknown: ReadonlySet<string>
}

const MAX_HOSTS = 400_000
const SITE = ''

/** Views by post (or `SITE`) and host. */
type Views = Map<string, Map<string, number>>

/** @param afterStep called after each read of some thousand rows */
export async function compareHosts(
  engine: SqlEngine,
  client: SqlClient,
  state: State,
  day: Day,
  afterStep: () => void,
): Promise<Compared> {
  const unknown = await unknownPosts(engine, client, state, day)
  let parts = 1
  for (;;) {
    const sides = [POST_HOSTS, SITE_HOSTS].map(table => new Side(table, isSettled(state, day)))
    let part = 0
    for (; part < parts; part++) {
      const isOurs = (host: string) => parts === 1 || partOf(host, parts) === part
      const views = await viewsOfRows(engine, client, day, unknown, isOurs, afterStep)
      if (views === null) break
      for (const [index, side] of sides.entries()) {
        for await (const rows of storedHosts(client, side.table, day)) {
          for (const row of rows) side.compare(row, views[index]!, isOurs)
          afterStep()
        }
        side.takeRest(views[index]!)
      }
    }
    if (part === parts) {
      const [posts, site] = sides as [Side, Side]
      return {
        wrong: [...posts.outcome(), ...site.outcome()],
        unkept: { posts: posts.unkept, site: site.unkept.get(SITE) ?? [] },
        unknown,
      }
    }
    parts *= 4
  }
}

/** The same for a host wherever it is found. */
function partOf(host: string, parts: number): number {
  let hash = 0
  for (let at = 0; at < host.length; at++) hash = (Math.imul(hash, 31) + host.charCodeAt(at)) >>> 0
  return hash % parts
}

/** Views by post and host, and by the site's hosts; null where there are too many to be kept in memory. */
async function viewsOfRows(
  engine: SqlEngine,
  client: SqlClient,
  day: Day,
  unknown: ReadonlySet<string>,
  isOurs: (host: string) => boolean,
  afterStep: () => void,
): Promise<[Views, Views] | null> {
  const [posts, site]: [Views, Views] = [new Map(), new Map()]
  let hosts = 0
  for await (const rows of viewsFromHosts(engine, client, day, unknown)) {
    for (const { post, host } of rows) {
      if (!isOurs(host)) continue
      hosts += add(posts, post, host)
      add(site, SITE, host)
    }
    afterStep()
    if (hosts > MAX_HOSTS) return null
  }
  return [posts, site]
}

/** Counts a view; returns how many hosts that makes more. */
function add(views: Views, place: string, host: string): 0 | 1 {
  let hosts = views.get(place)
  if (hosts === undefined) {
    hosts = new Map()
    views.set(place, hosts)
  }
  const before = hosts.get(host)
  hosts.set(host, (before ?? 0) + 1)
  return before === undefined ? 1 : 0
}

async function* storedHosts(
  client: SqlClient,
  { name, hasPosts }: HostTable,
  day: Day,
): AsyncGenerator<SqlRow[]> {
  const [columns, behind] = hasPosts
    ? ['post_uuid, host', 'post_uuid > ? OR (post_uuid = ? AND host > ?)']
    : ['host', 'host > ?']
  let after: string[] | null = null
  for (;;) {
    const rows: SqlRow[] = await client.all(
      `SELECT ${columns}, view_count FROM ${name}
       WHERE date = ? ${after === null ? '' : `AND (${behind})`}
       ORDER BY ${columns}
       LIMIT ${ROWS_AT_ONCE}`,
      [day, ...(after ?? [])],
    )
    yield rows
    const last = rows.at(-1)
    if (last === undefined || rows.length < ROWS_AT_ONCE) return
    const host = String(last['host'])
    after = hasPosts ? [String(last['post_uuid']), String(last['post_uuid']), host] : [host]
  }
}

/** One table's side of the comparison. */
class Side {
  readonly table: HostTable
  readonly unkept = new Map<string, Unkept[]>()
  readonly #isSettled: boolean
  readonly #wrong: Wrong[] = []
  readonly #restFound = new Map<string, number>()
  readonly #restExpected = new Map<string, number>()

  constructor(table: HostTable, settled: boolean) {
    this.table = table
    this.#isSettled = settled
  }

  /** Holds a stored host against the rows; takes it out of `views`. */
  compare(row: SqlRow, views: Views, isOurs: (host: string) => boolean): void {
    const place = this.table.hasPosts ? String(row['post_uuid']) : SITE
    const host = String(row['host'])
    const found = Number(row['view_count'])
    if (host === REMAINDER) this.#restFound.set(place, found)
    if (host === REMAINDER || !isOurs(host)) return
    const hosts = views.get(place)
    const expected = hosts?.get(host) ?? null
    hosts?.delete(host)
    this.#tell(place, host, expected, found)
  }

  /** What is left is not stored: of a settled day it must be in the remainder. */
  takeRest(views: Views): void {
    for (const [place, hosts] of views) {
      for (const [host, some] of hosts) {
        if (!this.#isSettled || host === NOWHERE) {
          this.#tell(place, host, some, null)
        } else {
          this.#restExpected.set(place, (this.#restExpected.get(place) ?? 0) + some)
          this.#consider(place, { host, views: some })
        }
      }
    }
  }

  outcome(): Wrong[] {
    for (const place of new Set([...this.#restFound.keys(), ...this.#restExpected.keys()])) {
      const [expected, found] = [this.#restExpected.get(place), this.#restFound.get(place)]
      this.#tell(place, REMAINDER, expected ?? null, found ?? null)
    }
    for (const unkept of this.unkept.values()) this.#leaveBest(unkept)
    return this.#wrong
  }

  #tell(place: string, host: string, expected: number | null, found: number | null): void {
    if (expected === found) return
    const post = this.table.hasPosts ? place : null
    this.#wrong.push({ table: this.table, post, host, expected, found })
  }

  #consider(place: string, host: Unkept): void {
    const unkept = this.unkept.get(place) ?? []
    this.unkept.set(place, unkept)
    unkept.push(host)
    if (unkept.length > 3 * this.table.kept) this.#leaveBest(unkept)
  }

  #leaveBest(unkept: Unkept[]): void {
    unkept.sort(byViews)
    unkept.length = Math.min(unkept.length, this.table.kept)
  }
}

/** Most views first, then by name. */
export function byViews(a: Unkept, b: Unkept): number {
  return b.views - a.views || (a.host < b.host ? -1 : 1)
}
