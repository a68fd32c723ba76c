/** Describes a statement in a few words without its values, for error messages. */

const COMMENTS = /^(?:\s*--[^\n]*\n)+/
const WRITES =
  /^(?:INSERT (?:IGNORE )?INTO|REPLACE INTO|UPDATE|DELETE FROM|(?:ALTER|DROP|RENAME) TABLE(?: IF EXISTS)?|CREATE (?:(?:OR REPLACE|UNIQUE|TEMPORARY) )?(?:TABLE|INDEX|TRIGGER|VIEW)(?: IF NOT EXISTS)?) (?:INDEX )?[\w.`"]+/i
const TABLES = /\b(?:FROM|\w*JOIN) ([\w.`"]+)/gi
const READS = /^(?:SELECT|WITH)\b/i
/** The part of a statement that is examined: values from readers or publishers come later. */
const LOOKED_AT_CHARACTERS = 2_000

/** `INSERT INTO post_views`, `SELECT FROM post_view_state`, `SELECT GET_LOCK`, `COMMIT`. */
export function stepOf(sql: string): string {
  const text = sql.slice(0, LOOKED_AT_CHARACTERS).replace(COMMENTS, '').replace(/\s+/g, ' ').trim()
  const write = WRITES.exec(text)?.[0]
  if (write !== undefined) return write.replaceAll(/[`"]/g, '')
  if (READS.test(text)) {
    // Values follow after that.
    const [beforeValues] = text.split(/ (?:WHERE|VALUES) /i)
    const tables = new Set(beforeValues!.matchAll(TABLES).map(([, table]) => table!.replaceAll(/[`"]/g, '')))
    if (tables.size > 0) return `SELECT FROM ${[...tables].join(', ')}`
    return /^SELECT [\w@]+/i.exec(text)?.[0] ?? 'SELECT'
  }
  return (
    /^\w+(?: (?:TRANSACTION|NAMES|SESSION|IMMEDIATE|EXCLUSIVE|\w+_\w+))*/.exec(text)?.[0] ?? 'a statement'
  )
}
