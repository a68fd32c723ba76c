/**
 * `INSERT … ON DUPLICATE KEY UPDATE`, in each server's own spelling. MariaDB calls a value of the new row `VALUES(column)`. MySQL
 * warns that it will drop that (1287); it has an alias for the new row, which is a syntax error on MariaDB.
 */

export interface Spelling {
  /** Before the rows. */
  insert: string
  /** After the rows. */
  update: string
}

export interface Upsert {
  mariadb: Spelling
  mysql: Spelling
}

/**
 * @param columns in the order of the rows' values
 * @param update the assignments to an existing row; `added` gives the value of the new row for a column
 */
export function upsert(
  table: string,
  columns: readonly string[],
  update: (added: (column: string) => string) => string,
): Upsert {
  const insert = `INSERT INTO ${table} (${columns.join(', ')}) VALUES `
  // Aliases with other names: by the column's own name MySQL could mean either row.
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
