/** The internal API's reads: figures, each as of the last roll of its shard. */

import { DIMENSION_NAMES } from '@postviews/client/src/figures.ts'
import { AnswerCache } from '../answer-cache.ts'
import { type CountedBy, type PeriodOfBots, periodsOf, settingsOn } from '../bots-before.ts'
import type { Calendar } from '../calendar.ts'
import type { CountingSettings } from '../counting-settings.ts'
import { addDays, type Day, latest, type Period, periodBefore } from '../days.ts'
import {
  DETAILS,
  type DetailName,
  isOfCounted,
  type Stored,
  sumOfPeriods,
  toFigures,
  type Who,
} from '../figures.ts'
import { recordedOwnHosts } from '../own-hosts.ts'
import { asNow, daysOf, daysOfPosts, periodOf } from '../read-days.ts'
import type { DayFigures, Reads, TopQuestion, Totals } from '../store.ts'
import { boundSql, LEAST_VIEWS } from '../trending.ts'
import { readDays } from './breakdown-reads.ts'
import type { Cluster, Row, Shard } from './connection.ts'
import { KNOWN, postIn, SAYS, SUMS, sumOf } from './count.ts'
import { shardOf } from './record.ts'
import { FIRST_DAY, LAST_DAY, postKey, within } from './sql.ts'
import { readState, recordedLists } from './state.ts'
import { Together } from './together.ts'
import { countedUntil } from './uncounted.ts'

const VALUES = `views, ${KNOWN.join(', ')}, toUnixTimestamp(first_viewed_at) AS first_time,
  toUnixTimestamp(last_viewed_at) AS last_time, unknown_until`
const AS_OF_HELD_MS = 1_000
/** A second thread costs more than it saves, and would be missing elsewhere. */
const FEW_ROWS = 'SETTINGS max_threads = 1'

export function createReads(cluster: Cluster, calendar: Calendar, settings: CountingSettings): Reads {
  const all = (sql: string) => cluster.during(() => cluster.all(sql))
  const onEach = (sql: string) =>
    cluster.during(async () => {
      const shards = await cluster.shards()
      return (await Promise.all(shards.map(shard => shard.all(sql)))).flat()
    })

  /** Which bots are among the stored views of each day matters only if some views are chosen. */
  async function countedBy(who: Who): Promise<CountedBy> {
    return who === undefined ? { settings, botsBefore: [] } : cluster.during(() => readState(cluster))
  }

  /** Questions about posts go to their shards, one question of a kind at a time on each. */
  const kinds = new Map<string, Together<Row[]>[]>()
  async function ofPosts(
    posts: readonly string[],
    kind: string,
    sql: (posts: string) => string,
  ): Promise<Map<string, Row[]>> {
    const shards = await cluster.shards()
    if (kinds.size > 1_000) kinds.clear()
    const questions =
      kinds.get(kind) ??
      shards.map(shard => new Together(keys => rowsByPost(shard, `${sql(postIn(keys))} ${FEW_ROWS}`)))
    kinds.set(kind, questions)
    const keys: string[][] = shards.map(() => [])
    for (const post of posts) keys[shardOf(post, shards.length)]!.push(postKey(post))
    const answers = await Promise.all(
      questions.map((question, index) =>
        keys[index]!.length === 0 ? new Map<string, Row[]>() : question.ask(keys[index]!),
      ),
    )
    return new Map(posts.map(post => [post, answers[shardOf(post, shards.length)]!.get(postKey(post)) ?? []]))
  }

  /** The earliest first, of all shards together. */
  async function daysOfSite(which: string): Promise<Row[]> {
    const rows = await onEach(
      `SELECT day, ${VALUES} FROM post_view_site_days FINAL WHERE ${which} AND ${SAYS}`,
    )
    const days = new Map<string, Row>()
    for (const row of rows) {
      const day = String(row['day'])
      const before = days.get(day)
      days.set(day, before === undefined ? row : sumOfDay(before, row))
    }
    return [...days].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row)
  }

  async function sumOfSite(which: string): Promise<Row> {
    const sums = await onEach(
      `SELECT ${VALUES} FROM (SELECT ${SUMS} FROM (SELECT * FROM post_view_site_days FINAL WHERE ${which}) AS f)`,
    )
    const sum = sums.reduce(added)
    if (unknownUntil(sum) === null) return sum
    // A day that is known on one shard may not be known on another.
    return (await daysOfSite(which)).reduce(added)
  }

  const held = new AnswerCache()
  /** As SQL: the posts with views in a period, or in the one before. */
  const listOf = async (period: Period | null, before: Period | null, who: Who) => {
    const by = await countedBy(who)
    return cluster.from(
      `SELECT if(n.name = '', toString(f.post), n.name) AS text, f.now_views AS views, f.unique_of_now AS unique_views,
              f.views_before AS previous_views, toInt64(f.now_views) - toInt64(f.views_before) AS change
       FROM (${figuresOf(period, before, { ...countedSql(who, by.settings), by })}) AS f
       LEFT ANY JOIN post_view_names AS n ON n.post = f.post`,
    )
  }
  const topPosts = async ({ period, who, sort, order, limit, offset }: Question) => {
    const readMs = performance.now()
    const posts = await listOf(period, sort === 'change' ? periodBefore(period) : null, who)
    const rows = await all(
      `SELECT text, views, unique_views, previous_views, change, count() OVER () AS posts FROM ${posts} AS posts_of_all
       ORDER BY ${sort} ${order === 'asc' ? 'ASC' : 'DESC'} NULLS LAST, text LIMIT ${limit} OFFSET ${offset}`,
    )
    const [counted] =
      rows.length > 0 ? rows : await all(`SELECT count() AS posts FROM ${posts} AS posts_of_all`)
    return {
      readMs,
      total: Number(counted!['posts']),
      posts: rows.map(row => ({
        post_uuid: String(row['text']),
        views: numberOf(row['views']),
        unique_views: numberOf(row['unique_views']),
        ...(sort === 'change' && {
          previous_views: numberOf(row['previous_views']),
          change: numberOf(row['change']),
        }),
      })),
    }
  }

  let asOf: { askedMs: number; ageMs: Promise<number> } | undefined
  /** The time since the moment up to which everything is counted. */
  async function age(): Promise<number> {
    const shards = await cluster.shards()
    const moments = await Promise.all(shards.map(countedUntil))
    return Math.max(0, ...moments.map(moment => (moment === null ? 0 : Date.now() - moment * 1_000)))
  }

  return {
    async asOf(nowMs) {
      if (asOf === undefined || performance.now() - asOf.askedMs > AS_OF_HELD_MS) {
        const asked = { askedMs: performance.now(), ageMs: cluster.during(age) }
        asOf = asked
        asked.ageMs.catch(() => {
          if (asOf === asked) asOf = undefined
        })
      }
      const { askedMs, ageMs } = asOf
      return nowMs - (await ageMs) - (performance.now() - askedMs)
    },

    async postTotals(posts, who) {
      if (posts.length === 0) return []
      const by = await countedBy(who)
      const found = await cluster.during(() =>
        ofPosts(
          posts,
          'totals',
          some => `SELECT toString(post) AS key, ${VALUES} FROM post_view_post_totals FINAL WHERE ${some}`,
        ),
      )
      const periods = await cluster.during(() =>
        ofPeriods(by, period =>
          ofPosts(
            posts,
            `totals ${period}`,
            some => `SELECT toString(post) AS key, ${VALUES}
              FROM (SELECT post, ${SUMS} FROM (SELECT * FROM post_view_days FINAL WHERE ${some} AND ${period}) AS f GROUP BY post)`,
          ),
        ),
      )
      return posts.map(post => ({
        post_uuid: post,
        ...totals(
          found.get(post)![0],
          who,
          by,
          periods.flatMap(({ read, bots }) => read.get(post)!.map(row => ({ row, bots }))),
        ),
      }))
    },

    async postDays(posts, first, last, who) {
      if (posts.length === 0) return new Map()
      const by = await countedBy(who)
      const period = within(first, last)
      const found = await cluster.during(() =>
        ofPosts(
          posts,
          period,
          some => `SELECT toString(post) AS key, day, ${VALUES} FROM post_view_days FINAL
            WHERE ${some} AND ${period} AND ${SAYS} ORDER BY post, day`,
        ),
      )
      return new Map(posts.map(post => [post, found.get(post)!.map(row => dayFigures(row, who, by))]))
    },

    async siteTotals(who) {
      const by = await countedBy(who)
      const periods = await ofPeriods(by, sumOfSite)
      return totals(
        await sumOfSite('true'),
        who,
        by,
        periods.map(({ read, bots }) => ({ row: read, bots })),
      )
    },

    async siteDays(first, last, who) {
      const by = await countedBy(who)
      return (await daysOfSite(within(first, last))).map(row => dayFigures(row, who, by))
    },

    async topPosts(asked) {
      const question = { ...TOP_DEFAULTS, ...asked }
      const { period, who, sort, order, limit, offset, maxAgeMs } = question
      const askedMs = performance.now()
      const key = [period?.from, period?.to, who, sort, order, limit, offset].join(' ')
      const { readMs, ...page } = await held.get(key, maxAgeMs, () => topPosts(question))
      return { ageMs: Math.max(0, askedMs - readMs), ...page }
    },

    async risingPosts({ who, days, before, site, limit, offset }) {
      const posts = await listOf(days, before, who)
      const rows = await all(
        `SELECT text, views, previous_views, posts_before,
                ${boundSql('toFloat64(views)', 'toFloat64(previous_views)', site)} AS bound
         FROM (SELECT *, countIf(previous_views > 0) OVER () AS posts_before FROM ${posts} AS posts_of_all)
         WHERE views >= ${LEAST_VIEWS} AND bound > 0
         ORDER BY bound DESC, text LIMIT ${limit} OFFSET ${offset}`,
      )
      return {
        ageMs: 0,
        posts: rows.map(row => ({
          post_uuid: String(row['text']),
          views: Number(row['views']),
          viewsBefore: Number(row['previous_views']),
          bound: Number(row['bound']),
        })),
        postsBefore: Number(rows[0]?.['posts_before'] ?? 0),
        revision: null,
      }
    },

    ownHosts: async () => recordedOwnHosts((await recordedLists(cluster))[0]!),

    dimensions: DIMENSION_NAMES,
    breakdown: async (name, post, from, to, who) =>
      periodOf(
        asNow(
          readDays(cluster, calendar, { name, posts: post === null ? null : [post], from, to }),
          await countedBy(who),
        ),
      ),
    breakdownDays: async (name, post, from, to, isAsked, who) =>
      daysOf(
        asNow(
          readDays(cluster, calendar, { name, posts: post === null ? null : [post], from, to }),
          await countedBy(who),
        ),
        isAsked,
      ),
    breakdownDaysOfPosts: async (name, posts, from, to, isAsked, who) =>
      daysOfPosts(
        posts,
        asNow(readDays(cluster, calendar, { name, posts, from, to }), await countedBy(who)),
        isAsked,
      ),

    async progress() {
      const rows = await onEach(
        `SELECT toUnixTimestamp64Milli(committed_at) AS committed, toUnixTimestamp(viewed_at) AS viewed
         FROM post_view_rolled WHERE committed_at IS NOT NULL ORDER BY committed_at DESC, viewed_at DESC LIMIT 1`,
      )
      // A batch is on several shards, whose clocks differ by milliseconds.
      const second = (row: Row) => Math.floor(Number(row['committed']) / 1_000)
      const [latest] = rows.sort((a, b) => second(b) - second(a) || Number(b['viewed']) - Number(a['viewed']))
      return {
        lastCommittedAt: latest === undefined ? null : Math.floor(Number(latest['committed']) / 1_000),
        lastViewedAt: latest === undefined ? null : Number(latest['viewed']),
      }
    },

    async minutes(since) {
      const from = Math.floor(since - (since % 60))
      const rows = await onEach(
        `SELECT toUnixTimestamp(toStartOfMinute(viewed_at)) AS time, count() AS views
         FROM post_view_rows FINAL
         WHERE (hour >= ${Math.floor(from / 3_600)} OR hour = 0) AND viewed_at >= toDateTime(${from}, 'UTC') AND counts = 1
           AND viewed_at >= toDateTime((SELECT max(number) FROM post_view_agreed WHERE name = 'minutes'), 'UTC')
         GROUP BY time`,
      )
      const minutes = new Map<number, number>()
      for (const row of rows)
        minutes.set(Number(row['time']), (minutes.get(Number(row['time'])) ?? 0) + Number(row['views']))
      return [...minutes].sort(([a], [b]) => a - b).map(([time, views]) => ({ minute: iso(time)!, views }))
    },
  }
}

type Question = Required<Omit<TopQuestion, 'who'>> & { who?: Who }
const TOP_DEFAULTS = { sort: 'views', order: 'desc', offset: 0, maxAgeMs: 0 } as const

/** As SQL: whose views count in a list. With `BOTS=exclude` the stored views are people's, and bots come on top of them. */
interface CountedSql {
  /** From the sums of stored figures whose names begin with `prefix`; null: not known. */
  views(prefix: string): string
  unique: string
  /** The columns that this takes, beside those of the views that count. */
  columns: readonly DetailName[]
}

/** As `toFigures` has them. */
function countedSql(who: Who, settings: CountedBy['settings']): CountedSql {
  if (isOfCounted(who, settings))
    return { views: prefix => `${prefix}views`, unique: 'f.unique_views', columns: [] }
  const columns = ['bots', 'bot_unique_views', 'shared_unique_views'] as const
  const allBots = (f: string) => `if(${f}detailed_views = ${f}views OR ${f}views = 0, ${f}bots, NULL)`
  if (who === 'bots') return { views: allBots, unique: 'f.bot_unique_views', columns }
  const [sign, opposite] = who === 'people' ? ['-', '+'] : ['+', '-']
  return {
    views: prefix => `toInt64(${prefix}views) ${sign} ${allBots(prefix)}`,
    unique: `toInt64(f.unique_views) ${sign} f.bot_unique_views ${opposite} f.shared_unique_views`,
    columns,
  }
}

/** As SQL: the views of each post in a period, its unique views, and its views in the period before; null: not known. */
function figuresOf(
  period: Period | null,
  before: Period | null,
  counted: CountedSql & { by: CountedBy },
): string {
  // Where no views are known, 0 unique views would say that there are none.
  return `SELECT f.post AS post, ${counted.views('f.')} AS now_views,
                 ${before === null ? 'toUInt64(0)' : counted.views('f.before_')} AS views_before,
                 ${counted.unique} AS known_unique,
                 if(f.unknown_until > toDate(0) AND (f.detailed_views = 0 OR now_views IS NULL AND known_unique = 0), NULL, known_unique) AS unique_of_now
          FROM (${storedOf(period, before, counted)}) AS f
          WHERE ifNull(now_views, 1) > 0 OR ifNull(views_before, 1) > 0`
}

/** As SQL: what is stored of each post in a period, and of the one before. */
function storedOf(
  asked: Period | null,
  before: Period | null,
  { columns, by }: CountedSql & { by: CountedBy },
): string {
  if (asked === null && by.botsBefore.length === 0) return 'SELECT * FROM post_view_post_totals FINAL'
  const period = asked ?? { from: FIRST_DAY, to: LAST_DAY }
  const sumsIn = ({ from, to }: Period, names: readonly string[], prefix = '') =>
    names.map(name => `${sumOf(`d.${name}`, within(from, to))} AS ${prefix}${name}`)
  const sums = [
    ...sumsIn(period, ['views', 'detailed_views', 'unique_views', ...columns]),
    `maxIf(d.unknown_until, ${within(period.from, period.to)}) AS unknown_until`,
    ...(before === null ? [] : sumsIn(before, ['views', 'detailed_views', ...columns], 'before_')),
  ]
  return `SELECT post, ${sums.join(', ')}
          FROM (SELECT ${columnsBy(by)} FROM post_view_days AS s FINAL WHERE ${within(before?.from ?? period.from, period.to)}) AS d
          GROUP BY post`
}

/** As SQL: the columns of a post's day, each as what `BOTS` is now would have counted it. Null: not known. */
function columnsBy(by: CountedBy): string {
  const others = periodsOf(by).filter(({ bots }) => bots !== by.settings.bots)
  if (others.length === 0) return '*'
  const isOther = others.map(period => daysOfPeriod(period)).join(' OR ')
  const [sign, opposite] = by.settings.bots === 'exclude' ? ['-', '+'] : ['+', '-']
  const changed = {
    views: `toInt64(s.views) ${sign} if(s.detailed_views = s.views OR s.views = 0, s.bots, NULL)`,
    detailed_views: `toInt64(s.detailed_views) ${sign} s.bots`,
    unique_views: `toInt64(s.unique_views) ${sign} s.bot_unique_views ${opposite} s.shared_unique_views`,
  }
  const columns = Object.entries(changed).map(
    ([name, sql]) => `if(${isOther}, ${sql}, toInt64(s.${name})) AS ${name}`,
  )
  return `post, day, ${columns.join(', ')}, bots, bot_unique_views, shared_unique_views, unknown_until`
}

function daysOfPeriod({ from, before }: PeriodOfBots): string {
  return within(from ?? FIRST_DAY, before === null ? LAST_DAY : addDays(before, -1))
}

async function rowsByPost(shard: Shard, sql: string): Promise<Map<string, Row[]>> {
  const rows = new Map<string, Row[]>()
  for (const row of await shard.all(sql)) {
    const key = String(row['key'])
    const known = rows.get(key)
    if (known === undefined) rows.set(key, [row])
    else known.push(row)
  }
  return rows
}

/** The last day of which only the views are known. */
function unknownUntil(row: Row): Day | null {
  const day = row['unknown_until']
  return day === undefined || day === '1970-01-01' ? null : String(day)
}

/** A figure that is unknown in one row is unknown in the sum. */
function sumOfDay(a: Row, b: Row): Row {
  const sum = added(a, b)
  return unknownUntil(sum) === null
    ? sum
    : { ...sum, ...Object.fromEntries(KNOWN.map(column => [column, 0])) }
}

function added(a: Row, b: Row): Row {
  const sum: Row = { ...a }
  for (const column of ['views', 'detailed_views']) sum[column] = Number(a[column]) + Number(b[column])
  for (const name of DETAILS)
    sum[name] = a[name] === null || b[name] === null ? null : Number(a[name]) + Number(b[name])
  const times = (column: string) =>
    [a[column], b[column]].filter(time => time !== null && time !== undefined).map(Number)
  sum['first_time'] = times('first_time').length === 0 ? null : Math.min(...times('first_time'))
  sum['unknown_until'] = latest(unknownUntil(a), unknownUntil(b)) ?? '1970-01-01'
  sum['last_time'] = times('last_time').length === 0 ? null : Math.max(...times('last_time'))
  return sum
}

function numberOf(value: unknown): number | null {
  return value === null ? null : Number(value)
}

function iso(time: unknown): string | null {
  return time === null || time === undefined
    ? null
    : new Date(Number(time) * 1_000).toISOString().replace('.000Z', 'Z')
}

function toStored(row: Row): Stored {
  const number = (column: string) => Number(row[column] ?? 0)
  const isUnknown = number('detailed_views') === 0 && unknownUntil(row) !== null
  return {
    views: number('views'),
    detailedViews: isUnknown ? null : number('detailed_views'),
    detailOf: name => (isUnknown || row[name] === null ? null : number(name)),
  }
}

/** What is read of each period between two changes of `BOTS`; nothing if there was no change. */
async function ofPeriods<T>(
  by: CountedBy,
  read: (period: string) => Promise<T>,
): Promise<{ read: T; bots: CountingSettings['bots'] }[]> {
  if (by.botsBefore.length === 0) return []
  return Promise.all(
    periodsOf(by).map(async period => ({ read: await read(daysOfPeriod(period)), bots: period.bots })),
  )
}

/** @param periods what each period between two changes of `BOTS` adds, if there was any change */
function totals(
  row: Row = {},
  who: Who,
  by: CountedBy,
  periods: readonly { row: Row; bots: CountingSettings['bots'] }[],
): Totals {
  const unknown = unknownUntil(row)
  const hasTimes = by.botsBefore.length === 0 && isOfCounted(who, by.settings)
  const parts = periods.map(({ row, bots }) => ({ stored: toStored(row), bots }))
  const stored = parts.length === 0 ? toStored(row) : sumOfPeriods(parts, by.settings.bots)
  return {
    ...toFigures(stored, who, by.settings),
    first_viewed_at: hasTimes ? iso(row['first_time']) : null,
    last_viewed_at: hasTimes ? iso(row['last_time']) : null,
    ...(unknown === null ? {} : { details_since: addDays(unknown, 1) }),
  }
}

function dayFigures(row: Row, who: Who, by: CountedBy): DayFigures {
  const date = String(row['day'])
  return { date, ...toFigures(toStored(row), who, settingsOn(by, date)) }
}
