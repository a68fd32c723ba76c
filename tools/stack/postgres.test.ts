import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { findPostgres } from './postgres.ts'

test('of the versions in a root the newest is taken that has a server, by its path inside the root', t => {
  const root = mkdtempSync(join(tmpdir(), 'postviews-root-'))
  t.after(() => rmSync(root, { recursive: true }))
  assert.equal(findPostgres(root), undefined)
  for (const [version, program] of [
    ['9.6', 'postgres'],
    ['17', 'postgres'],
    ['18', 'psql'],
  ] as const) {
    const bin = join(root, 'usr/lib/postgresql', version, 'bin')
    mkdirSync(bin, { recursive: true })
    writeFileSync(join(bin, program), '')
  }
  assert.equal(findPostgres(root), '/usr/lib/postgresql/17/bin')
})
