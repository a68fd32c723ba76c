/** Visits: a reader comes from a site, reads a post, and perhaps some more. The same seed gives the same visits. */

import { proxyList, type ViewEvent, type ViewRequest, viewFromRequest } from '@postviews/client/src/index.ts'
import { ASKED, type Machine, type MachineGroup, UNASKED } from './machines.ts'
import { Random } from './random.ts'
import { addressIn, Crowd, type Reader } from './readers.ts'
import { freshness, popularity, type SimulatedPost, siteActivity } from './rhythm.ts'
import { BURST_SITES, SOURCES, type Source } from './sources.ts'

export interface TimedView {
  atMs: number
  event: ViewEvent
}

/** What the blog's server is asked for. Not every request is a view. */
export interface TimedRequest {
  atMs: number
  request: ViewRequest
  postId: string
  userId: number | null
  /** The id of the view, if it is one. */
  eventId: string
}

export interface LifeOptions {
  posts: readonly SimulatedPost[]
  seed: string
  /** The blog's URL: the referrer when readers go from one post to the next. */
  blogUrl: string
}

export interface HistoryOptions extends LifeOptions {
  /** The end of the history (exclusive). */
  untilMs: number
  days: number
  /** Number of views, within a few per cent. */
  views: number
}

export interface LiveOptions extends LifeOptions {
  fromMs: number
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** Measured, because visits end by chance. */
const VIEWS_PER_VISIT = 1.52
/** Share of the views by machines that read whenever they like. */
const UNASKED_SHARE = 0.18
/** Share of the visits that a machine makes because somebody has asked it to. */
const ASKED_SHARE = 0.065
/** After a view, a browser may fetch in advance what its reader may read next. */
const PREFETCH_SHARE = 0.12

/** For a day or two, a site sends many readers to one post. */
interface Burst {
  post: SimulatedPost
  startMs: number
  referer: string
}

const BURSTS = 4
const BURST_HOURS = 30

/** The views of the last days, oldest first, each with an id: a view that is published again is still counted once. */
export function historyViews(options: HistoryOptions): TimedView[] {
  return historyRequests(options).flatMap(request => viewOf(request, request.atMs) ?? [])
}

/** What the blog was asked for in the last days, oldest first. */
export function historyRequests({ untilMs, days, views, ...life }: HistoryOptions): TimedRequest[] {
  const random = new Random(`${life.seed} history`)
  const fromMs = untilMs - days * DAY_MS
  const bursts = burstsOf(random, life.posts, fromMs, untilMs)
  const visits = new Visits(life, random, bursts)

  const hours = Array.from({ length: days * 24 }, (_, hour) => fromMs + hour * HOUR_MS)
  // No two days are alike.
  const moods = Array.from({ length: days + 1 }, () => random.between(0.82, 1.18))
  const weights = hours.map(
    (startMs, hour) => moods[Math.floor(hour / 24)]! * siteActivity(startMs) * visits.attraction(startMs),
  )
  const sum = weights.reduce((all, weight) => all + weight, 0)
  const perWeight = (views * (1 - UNASKED_SHARE)) / VIEWS_PER_VISIT / sum
  const unaskedPerHour = (views * UNASKED_SHARE) / VIEWS_PER_UNASKED / hours.length

  const timed: TimedRequest[] = []
  for (const [hour, startMs] of hours.entries()) {
    const add = (count: number, visit: (atMs: number) => TimedRequest[]) => {
      for (let left = Math.floor(count + random.fraction()); left > 0; left--)
        timed.push(...visit(startMs + random.below(HOUR_MS)))
    }
    add(weights[hour]! * perWeight, atMs => visits.visit(atMs))
    add(unaskedPerHour, atMs => visits.unasked(atMs))
  }
  return timed.filter(({ atMs }) => atMs < untilMs).sort((a, b) => a.atMs - b.atMs)
}

/** Views per second: lively while somebody checks whether it works, then so few that a day of running adds up to a plausible number. */
const FIRST_RATE = 1.6
const SETTLED_RATE = 0.06
const SETTLING_MS = 150_000
const MIN_GAP_MS = 200
const UNASKED_VISITS_SHARE = 0.15

/** Views from now on, without end, oldest first; at least 200 ms apart. */
export function* liveViews({ fromMs, ...life }: LiveOptions): Generator<TimedView, never> {
  const random = new Random(`${life.seed} live ${fromMs}`)
  const visits = new Visits(life, random, [])
  const upcoming: TimedRequest[] = []
  let nextVisitMs = fromMs
  let lastMs = fromMs
  for (;;) {
    while (upcoming.length === 0 || nextVisitMs <= upcoming[0]!.atMs) {
      const isUnasked = random.chance(UNASKED_VISITS_SHARE)
      upcoming.push(...(isUnasked ? visits.unasked(nextVisitMs) : visits.visit(nextVisitMs)))
      upcoming.sort((a, b) => a.atMs - b.atMs)
      const settling = Math.exp(-(nextVisitMs - fromMs) / SETTLING_MS)
      const rate = SETTLED_RATE + (FIRST_RATE - SETTLED_RATE) * settling
      nextVisitMs += random.exponential(
        (VIEWS_PER_VISIT / (rate * (0.4 + siteActivity(nextVisitMs)))) * 1_000,
      )
    }
    const request = upcoming.shift()!
    const view = viewOf(request, Math.max(request.atMs, lastMs + MIN_GAP_MS))
    if (view === null) continue
    lastMs = view.atMs
    yield view
  }
}

/** The proxy in front of the blog, which names the reader in `X-Forwarded-For`. */
const PROXY = '127.0.0.1'
const TRUSTED_PROXIES = proxyList([PROXY])

/** As a Frontend makes it; null for a request that shows the post to nobody. */
export function viewOf({ request, postId, userId, eventId }: TimedRequest, atMs: number): TimedView | null {
  const options = { post_uuid: postId, user_id: userId, trustedProxies: TRUSTED_PROXIES }
  const event = viewFromRequest(request, options)
  return event && { atMs, event: { ...event, event_id: eventId, timestamp: isoTime(atMs) } }
}

function burstsOf(random: Random, posts: readonly SimulatedPost[], fromMs: number, untilMs: number): Burst[] {
  return Array.from({ length: BURSTS }, (_, number) => {
    // Spread over the time, so that they do not coincide.
    const startMs = fromMs + ((number + random.between(0.2, 0.8)) / BURSTS) * (untilMs - fromMs)
    const out = posts.filter(({ publishedAt }) => publishedAt.getTime() < startMs)
    return { post: random.pick(out.length > 0 ? out : posts), startMs, referer: random.pick(BURST_SITES) }
  })
}

const VIEWS_PER_UNASKED = mean(
  UNASKED.map(({ weight, pages, machines }) => {
    // A HEAD request is no view.
    const shareOfGet = mean(machines.map(([each, , , method]) => [each, method === 'HEAD' ? 0 : 1]))
    return [weight, pages * shareOfGet]
  }),
)

function mean(weighted: readonly (readonly [weight: number, value: number])[]): number {
  const sum = weighted.reduce((all, [weight, value]) => all + weight * value, 0)
  return sum / weighted.reduce((all, [weight]) => all + weight, 0)
}

interface Asking {
  ip: string
  agent: string
  userId?: number | null
  referer?: string | null
  query?: string | undefined
  method?: string | undefined
  /** The browser asks in advance. */
  isPrefetch?: boolean
}

class Visits {
  readonly #random: Random
  readonly #crowd: Crowd
  readonly #bursts: readonly Burst[]
  readonly #blogUrl: string
  /** The most popular first. */
  readonly #posts: readonly SimulatedPost[]
  #weights: { hour: number; weights: Map<SimulatedPost, number>; sum: number } | undefined

  constructor({ posts, seed, blogUrl }: LifeOptions, random: Random, bursts: readonly Burst[]) {
    // Readers and their preferences are the same in every run; what they do is not.
    const people = new Random(seed)
    this.#posts = people.shuffled(posts)
    this.#crowd = new Crowd(people)
    this.#random = random
    this.#bursts = bursts
    this.#blogUrl = blogUrl
  }

  /** How much attracts readers in that hour. */
  attraction(atMs: number): number {
    return this.#at(atMs).sum
  }

  /** By a person, or by a machine that a person has asked. */
  visit(atMs: number): TimedRequest[] {
    const random = this.#random
    if (random.chance(ASKED_SHARE)) return this.#byMachine(pickByWeight(random, ASKED), atMs)
    let reader = this.#crowd.someone(atMs)
    let post = this.#pickPost(atMs)
    let [, referer, query]: Source = sourceOf(reader, random)
    const burst = this.#bursts.find(one => one.post === post && burstWeight(one, atMs) > 0)
    if (burst !== undefined && random.chance(0.8)) {
      reader = this.#crowd.passerBy(atMs)
      referer = burst.referer
      query = undefined
    }

    const requests: TimedRequest[] = []
    for (let viewAtMs = atMs; ; viewAtMs += random.between(25_000, 240_000)) {
      requests.push(this.#request(viewAtMs, post, { ...reader, referer, query }))
      const next = this.#pickPost(atMs)
      const from = `${this.#blogUrl}/posts/${post.slug}`
      if (random.chance(PREFETCH_SHARE))
        requests.push(this.#request(viewAtMs + 900, next, { ...reader, referer: from, isPrefetch: true }))
      if (!random.chance(reader.kind === 'regular' ? 0.42 : 0.26)) return requests
      // Some only reload the page.
      if (random.chance(0.3)) continue
      referer = from
      query = undefined
      post = next
    }
  }

  /** By a machine that nobody has asked. */
  unasked(atMs: number): TimedRequest[] {
    return this.#byMachine(pickByWeight(this.#random, UNASKED), atMs)
  }

  #byMachine({ reads, pages, machines }: MachineGroup, atMs: number): TimedRequest[] {
    const random = this.#random
    const [, network, agent, method]: Machine = random.pick(machines, ([weight]) => weight)
    const ip = addressIn(network, random)
    const requests: TimedRequest[] = []
    let readAtMs = atMs
    for (let left = 1 + random.below(2 * pages - 1); left > 0; left--) {
      requests.push(this.#request(readAtMs, this.#postFor(reads, atMs), { ip, agent, method }))
      readAtMs += random.between(2_000, 20_000)
    }
    return requests
  }

  #postFor(reads: MachineGroup['reads'], atMs: number): SimulatedPost {
    if (reads === 'asked') return this.#pickPost(atMs)
    const out = this.#posts.filter(({ publishedAt }) => publishedAt.getTime() <= atMs)
    if (reads === 'same') return out[0]!
    if (reads === 'any') return this.#random.pick(out)
    const newest = out.sort((a, b) => b.publishedAt.getTime() - a.publishedAt.getTime()).slice(0, 3)
    return this.#random.pick(newest, post => 1 / (newest.indexOf(post) + 1) ** 2)
  }

  #pickPost(atMs: number): SimulatedPost {
    const { weights } = this.#at(atMs)
    return this.#random.pick(this.#posts, post => weights.get(post)!)
  }

  #request(atMs: number, post: SimulatedPost, asking: Asking): TimedRequest {
    const { ip, agent, userId = null, referer, query, method, isPrefetch } = asking
    const url = `/posts/${post.slug}${query === undefined ? '' : `?${query.replace('{month}', isoTime(atMs).slice(0, 7))}`}`
    const headers = {
      'x-forwarded-for': ip,
      'user-agent': agent,
      ...(referer == null ? {} : { referer }),
      ...(isPrefetch ? { 'sec-purpose': 'prefetch;prerender' } : {}),
    }
    const request = { method, url, headers, socket: { remoteAddress: PROXY } }
    return { atMs, request, postId: post.id, userId, eventId: this.#random.uuid() }
  }

  #at(atMs: number) {
    const hour = Math.floor(atMs / HOUR_MS)
    if (this.#weights?.hour !== hour) {
      const startMs = hour * HOUR_MS
      const weights = new Map(
        this.#posts.map((post, rank) => {
          const burst = this.#bursts.find(one => one.post === post)
          const boost = burst === undefined ? 0 : burstWeight(burst, startMs)
          return [post, popularity(rank) * freshness(post, startMs) + boost] as const
        }),
      )
      this.#weights = { hour, weights, sum: weights.values().reduce((sum, weight) => sum + weight, 0) }
    }
    return this.#weights
  }
}

function pickByWeight(random: Random, groups: readonly MachineGroup[]): MachineGroup {
  return random.pick(groups, ({ weight }) => weight)
}

/** Rises within three hours, and fades within a day. */
function burstWeight({ startMs }: Burst, atMs: number): number {
  const hours = (atMs - startMs) / HOUR_MS
  if (hours < 0 || hours > BURST_HOURS) return 0
  return 4 * Math.min(1, (hours + 1) / 4) * Math.exp(-hours / 9)
}

function sourceOf({ kind, agent }: Reader, random: Random): Source {
  const isPossible = ([, referer]: Source) =>
    agent.includes('Android') || referer?.startsWith('android-app:') !== true
  return random.pick(SOURCES[kind].filter(isPossible), ([weight]) => weight)
}

function isoTime(atMs: number): string {
  return new Date(Math.floor(atMs)).toISOString()
}
