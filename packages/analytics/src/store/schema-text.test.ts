import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { DETAILS } from './figures.ts'
import { KEPT, KEPT_NAMES } from './kept.ts'
import { ENGINES, printed, schemaText } from './schema-text.ts'

test('every statement of a batch is one of the tables that stand above it', async () => {
  const { tables, statements } = await schemaText('sqlite')
  using database = new DatabaseSync(':memory:')
  database.exec(tables)
  for (const statement of statements) database.prepare(statement)
  assert.ok(statements.length > 8)
})

for (const engine of ENGINES) {
  test(`on ${engine} whatever is declared is written, and has a column`, async () => {
    const text = await schemaText(engine)
    const { tables, statements } = text
    // ClickHouse stores UUIDs as such, and with each id whether it was the event's own.
    const names = KEPT_NAMES.filter(
      name => engine !== 'clickhouse' || !['postUuid', 'eventId'].includes(name),
    )
    const kept = names.map(name => {
      const { column, isRepeated } = KEPT[name]
      return engine === 'sqlite' && isRepeated ? `${column}_number` : column
    })
    for (const column of kept) {
      // A column that a migration has added stands where that engine prints it.
      assert.match(tables, new RegExp(`(?:^  |, |ADD COLUMN IF NOT EXISTS )${column} `, 'm'))
      assert.match(statements[0]!, new RegExp(`\\b${column}\\b`))
    }
    // A post on a day, a post, and the site on a day.
    for (const name of DETAILS) {
      const columns = tables.match(new RegExp(`(?:^  |, |ADD COLUMN IF NOT EXISTS )${name} `, 'gim')) ?? []
      assert.ok(columns.length >= 3, `${name}: ${columns.length} tables`)
      const adding = statements.filter(statement => new RegExp(`\\b${name}\\b`).test(statement))
      assert.ok(adding.length >= 2, `${name}: ${adding.length} statements`)
    }
    assert.ok(printed(text).startsWith(tables.trimEnd()))
  })
}
