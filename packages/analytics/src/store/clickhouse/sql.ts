/** Values as SQL. They go into subqueries that other servers run, where parameters do not reach. */

import { hash } from 'node:crypto'
import { isUuid } from '@postviews/client/src/index.ts'
import type { Day } from '../days.ts'

export function quoted(texts: readonly string[]): string {
  return texts.map(text => `'${text.replace(/[\\']/g, '\\$&')}'`).join(', ')
}

/** ClickHouse's days begin in 1970 and end in 2149. */
export const [FIRST_DAY, LAST_DAY] = ['1970-01-01', '2149-06-06'] as const

/** What was counted is among ClickHouse's days. */
export function within(first: Day, last: Day): string {
  const [from, to] = [first < FIRST_DAY ? FIRST_DAY : first, last > LAST_DAY ? LAST_DAY : last]
  return from > to ? 'false' : `day BETWEEN '${from}' AND '${to}'`
}

/** The nil UUID: in place of a post it stands for the whole site. */
export const SITE = '00000000-0000-0000-0000-000000000000'

/** Whether a post's id is its own key; every other post has a name. */
export function isOwnKey(post: string): boolean {
  return isUuid(post) && post !== SITE
}

/** 128 bits for a post: its UUID, or those of a hash of its text, written as a UUID. */
export function postKey(post: string): string {
  if (isOwnKey(post)) return post
  const hex = hash('sha256', post)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 32)}`
}

/** The most that one query reads. FINAL over many partitions that are not merged yet takes minutes. */
export const STEP_PARTITIONS = 100
/** The most that one query reads: the readers of more rows may not fit into its memory together. */
export const STEP_ROWS = 500_000

/** As SQL: the active parts of the rows. */
export const PARTS = `system.parts WHERE database = currentDatabase() AND table = 'post_view_rows' AND active`
