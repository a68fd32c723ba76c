/**
 * Removes texts that no row uses any more: a user agent must not outlive the rows that retention has removed or erased.
 *
 * First all rows are read, to find out which texts they use. Others may write meanwhile. Batches add rows with greater ids, so each
 * removal first reads the rows that were added since. Every other change goes through the views, whose triggers count it; if the
 * count has changed, all rows are read again. The count of the last complete removal is recorded. So if a removal is interrupted, the
 * next one finds that there is something left to do.
 */

import { idRanges } from '../sql/id-ranges.ts'
import { type Exclusive, figure, placeholders, type SqlClient } from '../sql/sql.ts'
import type { Progress } from '../store.ts'
import { NUMBER_COLUMNS, POST, ROWS, TEXT_CHANGES, TEXTS, UNPACKED_ROWS, VISITOR_ROWS } from './texts.ts'

const TEXTS_AT_ONCE = 500
const TRIES = 5
const DAY_SECONDS = 86_400

const SELECT_CHANGES = `SELECT by_views, cleaned_by_views, cleaned_at FROM ${TEXT_CHANGES}`

/**
 * @param now Unix seconds. If it is given, nothing is done within a day of the last removal, because a removal reads all rows.
 * @returns false if it gave up, because rows were changed through the views again and again: unused texts may be left
 */
export async function removeUnusedTexts(
  reader: SqlClient,
  exclusive: Exclusive,
  progress: Progress,
  now?: number,
): Promise<boolean> {
  for (let tries = 0; tries < TRIES; tries++) {
    const [changes] = await reader.all(SELECT_CHANGES)
    const byViews = Number(changes!['by_views'])
    if (figure(changes!['cleaned_by_views']) === byViews) return true
    const cleanedAt = figure(changes!['cleaned_at'])
    if (now !== undefined && cleanedAt !== null && Math.abs(now - cleanedAt) < DAY_SECONDS) return true
    if (!(await removeWhileUnchanged(reader, exclusive, byViews, progress))) continue
    await exclusive(client =>
      client.run(`UPDATE ${TEXT_CHANGES} SET cleaned_by_views = ?, cleaned_at = COALESCE(?, cleaned_at)`, [
        byViews,
        now ?? null,
      ]),
    )
    return true
  }
  return false
}

async function removeWhileUnchanged(
  reader: SqlClient,
  exclusive: Exclusive,
  byViews: number,
  progress: Progress,
): Promise<boolean> {
  const [edge] = await reader.all(`SELECT MAX(number) AS last FROM ${TEXTS}`)
  const last = Number(edge!['last'] ?? 0)
  const used = new UsedTexts(last)
  await used.addAll(reader, () => progress('texts', 0, 0))
  let removed = 0
  for (let after = 0; ; ) {
    const rows = await reader.all(
      `SELECT number FROM ${TEXTS} WHERE number > ? AND number <= ? ORDER BY number LIMIT ${TEXTS_AT_ONCE}`,
      [after, last],
    )
    if (rows.length === 0) return true
    const numbers = rows.map(row => Number(row['number']))
    after = numbers.at(-1)!
    if (numbers.every(number => used.has(number))) continue
    const isUnchanged = await exclusive(async client => {
      const [changes] = await client.all(SELECT_CHANGES)
      if (Number(changes!['by_views']) !== byViews) return false
      await used.addNew(client)
      const unused = numbers.filter(number => !used.has(number))
      if (unused.length > 0)
        removed += await client.run(
          `DELETE FROM ${TEXTS} WHERE number IN (${placeholders(unused.length)})`,
          unused,
        )
      return true
    })
    if (!isUnchanged) return false
    progress('texts', removed, removed)
  }
}

/** The numbers of the texts that rows, and lists of visitors, use: a bit for each up to `last`, because there may be millions. */
class UsedTexts {
  readonly #bits: Uint8Array
  readonly #last: number
  /** Somebody may have inserted rows with negative ids. */
  #lastId = Number.MIN_SAFE_INTEGER

  constructor(last: number) {
    this.#last = last
    this.#bits = new Uint8Array(Math.floor(last / 8) + 1)
  }

  has(number: number): boolean {
    return number > this.#last || (this.#bits[Math.floor(number / 8)]! & (1 << (number % 8))) !== 0
  }

  /** @param step called again and again, because it may take long */
  async addAll(client: SqlClient, step: () => void): Promise<void> {
    await this.addNew(client, step)
    await this.#add(client, POST, UNPACKED_ROWS)
    for (const { day } of await client.all('SELECT day FROM post_view_day_keys')) {
      await this.#add(client, POST, `${VISITOR_ROWS} WHERE day = ?`, [String(day)])
    }
    // What came meanwhile, so that a removal has little left to look at.
    await this.addNew(client)
  }

  /** Adds what the rows use that came since it was last called. */
  async addNew(client: SqlClient, step: () => void = () => {}): Promise<void> {
    for await (const { after, last } of idRanges(client, { after: this.#lastId })) {
      for (const column of NUMBER_COLUMNS) {
        await this.#add(client, column, `${ROWS} WHERE id > ? AND id <= ?`, [after, last])
      }
      this.#lastId = last
      step()
    }
  }

  async #add(
    client: SqlClient,
    column: string,
    from: string,
    values: readonly (string | number)[] = [],
  ): Promise<void> {
    const rows = await client.all(`SELECT DISTINCT ${column} AS number FROM ${from}`, values)
    for (const row of rows) {
      const number = Number(row['number'] ?? 0)
      if (number <= this.#last) this.#bits[Math.floor(number / 8)]! |= 1 << (number % 8)
    }
  }
}
