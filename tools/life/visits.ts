/** Visits: a reader comes from a site, reads a post, and perhaps some more. The same seed gives the same visits. */

import type { ViewEvent } from '@postviews/client/src/index.ts'
import { Random } from './random.ts'
import { Crowd, type Reader } from './readers.ts'
import { freshness, popularity, type SimulatedPost, siteActivity } from './rhythm.ts'

export interface TimedView {
  atMs: number
  event: ViewEvent
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
const VIEWS_PER_VISIT = 1.5

/** For a day or two, a site sends many readers to one post. */
interface Burst {
  post: SimulatedPost
  startMs: number
  referer: string
}

const BURSTS = 4
const BURST_HOURS = 30
const BURST_SITES = ['https://news.ycombinator.com/', 'https://www.reddit.com/', 'https://lobste.rs/']

/** The views of the last days, oldest first, each with an id: a view that is published again is still counted once. */
export function historyViews({ untilMs, days, views, ...life }: HistoryOptions): TimedView[] {
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
  const perWeight = views / VIEWS_PER_VISIT / weights.reduce((sum, weight) => sum + weight, 0)

  const timed: TimedView[] = []
  for (const [hour, startMs] of hours.entries()) {
    const count = Math.floor(weights[hour]! * perWeight + random.fraction())
    for (let number = 0; number < count; number++) {
      timed.push(...visits.visit(startMs + random.below(HOUR_MS)))
    }
  }
  return timed.filter(({ atMs }) => atMs < untilMs).sort((a, b) => a.atMs - b.atMs)
}

/** Views per second: lively while somebody checks whether it works, then so few that a day of running adds up to a plausible number. */
const FIRST_RATE = 1.6
const SETTLED_RATE = 0.06
const SETTLING_MS = 150_000
const MIN_GAP_MS = 200

/** Views from now on, without end, oldest first; at least 200 ms apart. */
export function* liveViews({ fromMs, ...life }: LiveOptions): Generator<TimedView, never> {
  const random = new Random(`${life.seed} live ${fromMs}`)
  const visits = new Visits(life, random, [])
  const upcoming: TimedView[] = []
  let nextVisitMs = fromMs
  let lastMs = fromMs
  for (;;) {
    while (upcoming.length === 0 || nextVisitMs <= upcoming[0]!.atMs) {
      upcoming.push(...visits.visit(nextVisitMs))
      upcoming.sort((a, b) => a.atMs - b.atMs)
      const settling = Math.exp(-(nextVisitMs - fromMs) / SETTLING_MS)
      const rate = SETTLED_RATE + (FIRST_RATE - SETTLED_RATE) * settling
      nextVisitMs += random.exponential(
        (VIEWS_PER_VISIT / (rate * (0.4 + siteActivity(nextVisitMs)))) * 1_000,
      )
    }
    const { event, ...view } = upcoming.shift()!
    lastMs = Math.max(view.atMs, lastMs + MIN_GAP_MS)
    yield { atMs: lastMs, event: { ...event, timestamp: isoTime(lastMs) } }
  }
}

function burstsOf(random: Random, posts: readonly SimulatedPost[], fromMs: number, untilMs: number): Burst[] {
  return Array.from({ length: BURSTS }, (_, number) => {
    // Spread over the time, so that they do not coincide.
    const startMs = fromMs + ((number + random.between(0.2, 0.8)) / BURSTS) * (untilMs - fromMs)
    const out = posts.filter(({ publishedAt }) => publishedAt.getTime() < startMs)
    return { post: random.pick(out.length > 0 ? out : posts), startMs, referer: random.pick(BURST_SITES) }
  })
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

  visit(atMs: number): TimedView[] {
    const random = this.#random
    const { weights } = this.#at(atMs)
    const pickPost = () => random.pick(this.#posts, post => weights.get(post)!)
    let reader = this.#crowd.someone(atMs)
    let post = reader.kind === 'bot' ? random.pick(this.#posts.filter(isOut(atMs))) : pickPost()
    let referer = refererOf(reader, random)
    const burst = this.#bursts.find(one => one.post === post && burstWeight(one, atMs) > 0)
    if (burst !== undefined && reader.kind !== 'bot' && random.chance(0.8)) {
      reader = this.#crowd.passerBy()
      referer = burst.referer
    }

    const views: TimedView[] = []
    for (let viewAtMs = atMs; ; viewAtMs += random.between(25_000, 240_000)) {
      views.push({ atMs: viewAtMs, event: this.#event(reader, post, referer, viewAtMs) })
      if (reader.kind === 'bot' || !random.chance(reader.kind === 'regular' ? 0.42 : 0.26)) return views
      // Some only reload the page.
      if (random.chance(0.3)) continue
      referer = `${this.#blogUrl}/posts/${post.slug}`
      post = pickPost()
    }
  }

  #event(reader: Reader, post: SimulatedPost, referer: string | null, atMs: number): ViewEvent {
    return {
      event_id: this.#random.uuid(),
      post_uuid: post.id,
      user_id: reader.userId,
      ip: reader.ip,
      user_agent: reader.agent,
      referer,
      timestamp: isoTime(atMs),
    }
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

function isOut(atMs: number) {
  return ({ publishedAt }: SimulatedPost) => publishedAt.getTime() <= atMs
}

/** Rises within three hours, and fades within a day. */
function burstWeight({ startMs }: Burst, atMs: number): number {
  const hours = (atMs - startMs) / HOUR_MS
  if (hours < 0 || hours > BURST_HOURS) return 0
  return 4 * Math.min(1, (hours + 1) / 4) * Math.exp(-hours / 9)
}

type Source = readonly [weight: number, referer: string | null]

const SOURCES: Record<Reader['kind'], readonly Source[]> = {
  regular: [
    [58, null],
    [20, 'https://letters.example/odd-hours'],
    [9, 'https://feedly.com/'],
    [6, 'https://duckduckgo.com/'],
    [4, 'https://mastodon.social/'],
    [3, 'https://www.google.com/'],
  ],
  'passer-by': [
    [36, 'https://www.google.com/'],
    [22, null],
    [8, 'https://duckduckgo.com/'],
    [7, 'https://www.bing.com/'],
    [6, 'https://www.reddit.com/'],
    [5, 'https://bsky.app/'],
    [4, 'https://mastodon.social/'],
    [4, 'https://www.linkedin.com/'],
    [4, 'https://letters.example/odd-hours'],
    [3, 'https://news.ycombinator.com/'],
    [1, 'https://www.ecosia.org/'],
  ],
  bot: [[1, null]],
}

function refererOf({ kind }: Reader, random: Random): string | null {
  return random.pick(SOURCES[kind], ([weight]) => weight)[1]
}

function isoTime(atMs: number): string {
  return new Date(Math.floor(atMs)).toISOString()
}
