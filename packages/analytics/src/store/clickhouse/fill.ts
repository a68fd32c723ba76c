/** Fills a database that has no views of its own from another one; it may run any number of times. */

import { differingSettings } from '../agreement.ts'
import { botsBeforeText, settingsOn } from '../bots-before.ts'
import type { CopiedFigures, CopiedReader, CopiedRow, CopySource } from '../copy.ts'
import type { CountingSettings } from '../counting-settings.ts'
import { type Day, daysBetween } from '../days.ts'
import { RowRejected, StoreRefused } from '../failures.ts'
import { DETAILS } from '../figures.ts'
import { ownHostsText, recordedOwnHosts } from '../own-hosts.ts'
import { BOT, NOT_NOTED, PERSON } from '../readers.ts'
import type { Filled, Progress } from '../store.ts'
import { agree, latestEntry, raise } from './agreed.ts'
import { carryFigures } from './carry-figures.ts'
import type { Cluster, Shard } from './connection.ts'
import { BOT_KIND, LEFT_OUT_BOT_KIND, PERSON_KIND } from './count.ts'
import { exclusively } from './lease.ts'
import { shardOf } from './record.ts'
import { insertOfCopied, lineOf, UNEXPLAINED } from './row.ts'
import { checkedState, type Engine, recordedLists, recordState } from './state.ts'

const LINES_AT_ONCE = 50_000

/** The figures of the source, on the first shard, while they are compared. */
const STAGED = `post_view_copied (
  kind String, post_uuid String, day Date, dimension String, value String, views Int64, is_detailed Bool, ${DETAILS.map(name => `${name} Nullable(Int64)`).join(', ')},
  first_viewed_at Nullable(DateTime('UTC')), last_viewed_at Nullable(DateTime('UTC')), slice Int16, visitor UInt64, reader_kind UInt8
) ENGINE = MergeTree ORDER BY (kind, day, post_uuid)`
const COLUMNS_OF_READERS = 'kind, post_uuid, day, slice, visitor, reader_kind'
const COLUMNS_OF_FIGURES = `kind, post_uuid, day, dimension, value, views, is_detailed, ${DETAILS.join(', ')}, first_viewed_at, last_viewed_at`

/**
 * Consumers of the source may run. What they add while it is copied is copied by the next run.
 *
 * @throws {StoreRefused} when the database counts views of its own: they would be mixed with those of the source
 */
export function fill(engine: Engine, source: CopySource, progress: Progress): Promise<Filled> {
  return exclusively(engine, async () => {
    const { cluster } = engine
    const shards = await cluster.shards()
    await refuseOwnViews(shards)
    await agreeWith(engine, source)
    await raise(cluster, FILLED, 1)
    const rows = await fillRows(engine, source, progress)
    for (const shard of shards) {
      await shard.onEach('DROP TABLE IF EXISTS post_view_copied SYNC')
      await shard.onEach(`CREATE TABLE ${STAGED}`)
    }
    for await (const page of source.figures())
      await stage(shards[0]!, page.map(lineOfFigures), COLUMNS_OF_FIGURES)
    for await (const page of source.readers())
      await stage(
        shards[0]!,
        page.flatMap(reader => linesOfReader(reader, settingsOn(source, reader.day))),
        COLUMNS_OF_READERS,
      )
    for (const shard of shards) {
      await shard.catchUpAll()
      await shard.catchUpAll(['post_view_copied'])
    }
    const differing = await carryFigures(
      engine,
      {
        table: 'post_view_copied',
        rawFrom: source.rawFrom ?? '1970-01-01',
        cutoff: source.rawFrom === null ? 0 : await firstReceipt(cluster),
        readersOf: where =>
          `SELECT post_uuid, day, if(slice < 0, visitor, bitXor(visitor, intHash64(toUInt8(slice)))) AS reader, reader_kind
           FROM ${cluster.from(`SELECT * FROM post_view_copied WHERE kind = 'reader' AND ${where}`)} AS v`,
      },
      progress,
    )
    for (const shard of shards) await shard.onEach('DROP TABLE post_view_copied SYNC')
    // If a consumer began too early, its views may have been taken for copied ones.
    await refuseOwnViews(shards)
    return { rows, differing }
  })
}

/** As a name in `post_view_agreed`: the data here were copied. */
const FILLED = 'filled'

/** A copied row has equal times of commit and receipt, to the millisecond. Pruned rows have left only bases. */
async function refuseOwnViews(shards: readonly Shard[]): Promise<void> {
  for (const shard of shards) {
    const own = await shard.all(
      `SELECT 1 FROM post_view_rows WHERE committed_at != toDateTime64(received_at, 3) LIMIT 1
       UNION ALL SELECT 1 FROM post_view_bases WHERE (SELECT count() FROM post_view_agreed WHERE name = '${FILLED}') = 0 LIMIT 1`,
    )
    if (own.length > 0)
      throw new StoreRefused(
        'the database already has views of its own: copy into one that no consumer has written to',
      )
  }
}

async function agreeWith(
  engine: Engine,
  { settings, botsBefore, settingsSince, ownHosts, keys }: CopySource,
): Promise<void> {
  const { cluster } = engine
  let state = await checkedState(engine)
  const differing = differingSettings(settings, engine)
  if (differing !== null) {
    throw new StoreRefused(
      `the source counts by other settings: ${differing}. Set those of the source, run \`postviews rebuild --adopt-settings\` on the new database, which takes no time while it is empty, then copy again`,
    )
  }
  // Days before `settingsSince` kept their settings, so their rows may lie on days of another zone.
  if (settingsSince !== null) await raise(cluster, 'zones until', daysBetween('1970-01-01', settingsSince))
  const known = new Set(await recordedLists(cluster))
  for (const list of [...ownHosts].reverse()) {
    const hosts = recordedOwnHosts(list)
    const isLatest = list === ownHosts[0]
    const isRecorded = isLatest
      ? ownHostsText(state.ownHosts) === ownHostsText(hosts) &&
        state.settingsSince === settingsSince &&
        botsBeforeText(state.botsBefore) === botsBeforeText(botsBefore)
      : known.has(ownHostsText(hosts))
    if (isRecorded) continue
    state = { ...state, agreement: state.agreement + 1, settingsSince, botsBefore, ownHosts: hosts }
    await recordState(cluster, state)
  }
  for (const [day, secret] of keys) await agreeOnKey(cluster, day, secret)
}

/** Returns the number of the key among its day's keys. */
async function agreeOnKey(cluster: Cluster, day: Day, value: string): Promise<number> {
  const latest = await latestEntry(await cluster.first(), `key ${day}`)
  if (latest?.value === value) return latest.number
  const number = (latest?.number ?? 0) + 1
  await agree(cluster, `key ${day}`, { number, value })
  return number
}

async function fillRows(engine: Engine, source: CopySource, progress: Progress): Promise<number> {
  const { cluster } = engine
  const shards = await cluster.shards()
  const insert = insertOfCopied(source, (await checkedState(engine)).epoch)
  const numbers = new Map<Day, number>()
  let lines: string[][] = shards.map(() => [])
  let [rows, waiting] = [0, 0]
  const flush = async () => {
    await Promise.all(
      shards.map((shard, index) =>
        lines[index]!.length === 0 ? null : shard.send(insert, lines[index]!.join('\n')),
      ),
    )
    lines = shards.map(() => [])
    waiting = 0
    progress('rows', rows, Math.max(rows, source.rowsAbout))
  }
  for await (const page of source.rows()) {
    for (const copied of page) {
      const { day, postUuid } = copied.row
      // The key of a closed day is gone.
      let number = numbers.get(day)
      if (number === undefined) {
        number = await agreeOnKey(cluster, day, source.keys.get(day) ?? '')
        numbers.set(day, number)
      }
      lines[shardOf(postUuid, shards.length)]!.push(lineOfCopied(copied, number))
    }
    rows += page.length
    waiting += page.length
    if (waiting >= LINES_AT_ONCE) await flush()
  }
  await flush()
  return rows
}

function lineOfCopied(
  { row, id, hourTime, counts, isUnexplained, isForgotten }: CopiedRow,
  key: number,
): string {
  let line: string
  try {
    line = lineOf({ ...row, eventId: id }, hourTime ?? row.viewedAt, key)
  } catch (error) {
    if (!(error instanceof RowRejected)) throw error
    throw new StoreRefused(`a view of post ${row.postUuid} on ${row.day} cannot be copied: ${error.message}`)
  }
  const asSettingsSay = -1
  const counted = isUnexplained ? UNEXPLAINED : counts === null ? asSettingsSay : Number(counts)
  return `${line.slice(0, -1)},${row.eventId !== null},${counted},${Number(isForgotten)}]`
}

async function stage(shard: Shard, lines: readonly string[], columns: string): Promise<void> {
  if (lines.length > 0) await shard.insert('post_view_copied', columns, lines.join('\n'))
}

function lineOfFigures(of: CopiedFigures): string {
  return JSON.stringify([
    of.kind,
    of.post,
    of.day,
    of.dimension,
    of.value,
    of.views,
    of.isDetailed,
    ...DETAILS.map(name => of[name]),
    of.first_viewed_at,
    of.last_viewed_at,
  ])
}

/** A reader who was a person and a bot is listed as both. */
function linesOfReader(
  { post, day, slice, visitor, seen }: CopiedReader,
  { bots }: Pick<CountingSettings, 'bots'>,
): string[] {
  const number = Buffer.from(visitor.padEnd(16, '0'), 'hex').readBigUInt64LE()
  const kinds = [
    // What a day says of bots is not known if this was not noted.
    seen === NOT_NOTED || (seen & PERSON) !== 0 ? [PERSON_KIND] : [],
    (seen & BOT) !== 0 ? [bots === 'exclude' ? LEFT_OUT_BOT_KIND : BOT_KIND] : [],
  ].flat()
  return kinds.map(kind => `["reader",${JSON.stringify(post)},"${day}",${slice ?? -1},${number},${kind}]`)
}

/** Unix seconds; now where there are no rows. */
async function firstReceipt(cluster: Cluster): Promise<number> {
  const [row] = await cluster.all(
    `SELECT minOrNull(received) AS first, toUnixTimestamp(now()) AS now
     FROM ${cluster.from('SELECT toUnixTimestamp(received_at) AS received FROM post_view_rows')} AS r`,
  )
  return Number(row!['first'] ?? row!['now'])
}
