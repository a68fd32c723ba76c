/**
 * `INSERT … ON DUPLICATE KEY UPDATE`, in each server's own spelling. MariaDB knows the row that was to be inserted as
 * `VALUES(column)`. MySQL warns of that (1287) and is to drop it; it knows an alias for the row, which is a syntax error on MariaDB.
 */

export interface Spelling {
  /** Before the rows. */
  insert: string
  /** Behind them. */
  update: string
}

export interface Upsert {
  mariadb: Spelling
  mysql: Spelling
}

/**
 * @param columns in the order of the rows' values
 * @param update the assignments to a row that is there; `added` gives what was to be inserted into a column
 */
export function upsert(
  table: string,
  columns: readonly string[],
  update: (added: (column: string) => string) => string,
): Upsert {
  const insert = `INSERT INTO ${table} (${columns.join(', ')}) VALUES `
  // Under names of their own: by the column's own name MySQL could mean either row.
  const added = (column: string) => `added_${column}`
  return {
    mariadb: { insert, update: ` ON DUPLICATE KEY UPDATE ${update(column => `VALUES(${column})`)}` },
    mysql: {
      insert,
      update: ` AS added (${columns.map(added).join(', ')}) ON DUPLICATE KEY UPDATE ${update(added)}`,
    },
  }
}

export function spelling(upsert: Upsert, { isMysql }: { isMysql: boolean }): Spelling {
  return isMysql ? upsert.mysql : upsert.mariadb
}
