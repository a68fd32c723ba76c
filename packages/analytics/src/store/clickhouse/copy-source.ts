/** What a database on ClickHouse hands over to one on another number of shards. */

import type { DimensionName } from '@postviews/client/src/figures.ts'
import {
  type CopiedFigures,
  type CopiedReader,
  type CopiedRow,
  type CopySource,
  copiedValue,
} from '../copy.ts'
import type { Day } from '../days.ts'
import { DETAILS, eachDetail } from '../figures.ts'
import { KEPT, type KeptName, type KeptRow } from '../kept.ts'
import { BOT, PERSON } from '../readers.ts'
import { rawFrom } from './adopt-settings.ts'
import { valuesOf } from './breakdowns.ts'
import type { Row } from './connection.ts'
import { EACH_READER, FIGURES, PERSON_KIND, SAYS } from './count.ts'
import { hourGroups } from './derive.ts'
import { dayKeys } from './keys.ts'
import { rollAll } from './recount.ts'
import { sourcesOf } from './roll.ts'
import { IS_FORGOTTEN, PLAIN_NAMES, UNEXPLAINED } from './row.ts'
import { SITE } from './sql.ts'
import { checkedState, type Engine, recordedLists } from './state.ts'

const ROWS_AT_ONCE = 50_000
const NAME = "if(n.name = '', toString(f.post), n.name) AS name"
const NAMED = 'LEFT ANY JOIN post_view_names AS n ON n.post = f.post'

export async function copySource(engine: Engine): Promise<CopySource> {
  const { cluster } = engine
  const { settings, botsBefore, settingsSince } = await checkedState(engine)
  await rollAll(engine)
  const shards = await cluster.shards()
  const counts = await Promise.all(
    shards.map(shard => shard.all('SELECT count() AS views FROM post_view_rows')),
  )
  return {
    settings,
    botsBefore,
    settingsSince,
    ownHosts: await recordedLists(cluster),
    keys: new Map([...(await dayKeys(cluster))].map(([day, { secret }]) => [day, secret])),
    rawFrom: await rawFrom(engine),
    rowsAbout: counts.flat().reduce((sum, row) => sum + Number(row['views']), 0),
    rows: () => rows(engine),
    figures: () => figures(engine),
    readers: () => readers(engine),
  }
}

async function* rows({ cluster }: Engine): AsyncGenerator<CopiedRow[]> {
  for (const shard of await cluster.shards()) {
    for (const { hours, rows } of await hourGroups(shard)) {
      const pages = Math.ceil(rows / ROWS_AT_ONCE)
      for (let page = 0; page < pages; page++) {
        const found = await shard.all(
          `SELECT hour, id, has_id, if(post_name = '', toString(post), post_name) AS name,
                  toUnixTimestamp(viewed_at) AS viewed, toUnixTimestamp(received_at) AS received, day, slice, counts,
                  lower(hex(reinterpretAsFixedString(visitor))) AS digits, ${IS_FORGOTTEN} AS is_forgotten,
                  ${PLAIN_NAMES.map(name => selected(name)).join(', ')}
           FROM post_view_rows AS r FINAL WHERE ${hours} AND cityHash64(id) % ${pages} = ${page}`,
        )
        yield found.map(toCopied)
      }
    }
  }
}

/** Numbers of more digits than a JavaScript number has are read as text. */
function selected(name: KeptName): string {
  const { column, type } = KEPT[name]
  return `${type === 'digits' ? `toString(r.${column})` : `r.${column}`} AS kept_${column}`
}

function plainOf(row: Row): Partial<KeptRow> {
  const values = PLAIN_NAMES.map(name => {
    const value = row[`kept_${KEPT[name].column}`]
    return [name, KEPT[name].type === 'flag' ? Number(value) === 1 : value]
  })
  return Object.fromEntries(values)
}

function toCopied(row: Row): CopiedRow {
  const id = String(row['id'])
  const kept: Partial<KeptRow> = {
    ...plainOf(row),
    eventId: row['has_id'] === true ? id : null,
    postUuid: String(row['name']),
    viewedAt: Number(row['viewed']),
    receivedAt: Number(row['received']),
    day: String(row['day']),
    slice: Number(row['slice']),
    visitor: String(row['digits']),
  }
  return {
    // Together with the plain columns, these are all.
    row: kept as KeptRow,
    id,
    hourTime: Number(row['hour']) * 3_600,
    counts: Number(row['counts']) === 1,
    isUnexplained: Number(row['counts']) === UNEXPLAINED,
    isForgotten: Number(row['is_forgotten']) === 1,
  }
}

async function* figures(engine: Engine): AsyncGenerator<CopiedFigures[]> {
  for (const shard of await engine.cluster.shards()) {
    const days = await shard.all('SELECT DISTINCT day FROM post_view_days ORDER BY day')
    const based = await shard.all('SELECT DISTINCT day FROM post_view_bases')
    const sources = await sourcesOf(engine, shard)
    // On the first shard a day may have only a base of the site.
    const daysOfValues = new Set(based.map(row => String(row['day'])))
    const first = await rawFrom(engine)
    for (const day of days.map(row => String(row['day']))) {
      const posts = await shard.all(
        `SELECT ${NAME}, views, unknown_until > toDate(0) AS is_unknown, ${DETAILS.join(', ')},
                toUnixTimestamp(first_viewed_at) AS first, toUnixTimestamp(last_viewed_at) AS last
         FROM (SELECT post, ${FIGURES} FROM post_view_days FINAL WHERE day = '${day}' AND ${SAYS}) AS f ${NAMED}`,
      )
      yield posts.map(row => ({
        kind: 'post',
        post: String(row['name']),
        day,
        dimension: '',
        value: '',
        views: Number(row['views']),
        isDetailed: Number(row['is_unknown']) === 0,
        ...eachDetail(name => (row[name] === null ? null : Number(row[name]))),
        first_viewed_at: row['first'] as number | null,
        last_viewed_at: row['last'] as number | null,
      }))
      daysOfValues.add(day)
    }
    for (const day of [...daysOfValues].filter(day => first !== null && day < first)) {
      const values = await shard.all(
        `SELECT 'value' AS kind, ${NAME}, dimension, value, n, n_bots FROM (${valuesOf(sources, [day])}) AS f ${NAMED}
         UNION ALL SELECT 'site_value', '', dimension, value, n, n_bots FROM (${valuesOf(sources, [day], { of: 'site' })})`,
      )
      yield values.map(row =>
        copiedValue(
          {
            kind: row['kind'] as CopiedFigures['kind'],
            post: String(row['name']),
            day,
            dimension: row['dimension'] as DimensionName,
            value: String(row['value']),
          },
          { views: Number(row['n']), bots: row['n_bots'] === null ? null : Number(row['n_bots']) },
        ),
      )
    }
  }
}

async function* readers({ cluster }: Engine): AsyncGenerator<CopiedReader[]> {
  const open: Day[] = [...(await dayKeys(cluster)).keys()]
  for (const shard of await cluster.shards()) {
    const found = await shard.all(
      `SELECT ${NAME}, day, kind, lower(hex(reinterpretAsFixedString(reader))) AS visitor
       FROM (SELECT post, day, reader, kind FROM post_view_bases FINAL ${EACH_READER} WHERE post != '${SITE}') AS f ${NAMED}`,
    )
    yield found
      .map(row => ({
        post: String(row['name']),
        day: String(row['day']),
        slice: null,
        visitor: String(row['visitor']),
        seen: Number(row['kind']) === PERSON_KIND ? PERSON : BOT,
      }))
      .filter(({ day }) => open.includes(day))
  }
}
