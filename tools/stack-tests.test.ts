import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { NEEDS_SERVER, UPGRADE } from './stack-tests.ts'

/** Expands the braces: one pattern for each alternative. */
function alternativesOf(pattern: string): string[] {
  const braces = /\{([^}]*)\}/.exec(pattern)
  if (braces === null) return [pattern]
  return braces[1]!.split(',').flatMap(name => alternativesOf(pattern.replace(braces[0], name)))
}

// A file that was moved would run on no stack, and nobody would notice.
test('each test that is to run on stacks is there', () => {
  const named = [...NEEDS_SERVER, ...UPGRADE].flatMap(alternativesOf)
  const missing = named.filter(pattern => globSync(join(import.meta.dirname, '..', pattern)).length === 0)
  assert.deepEqual(missing, [])
})
