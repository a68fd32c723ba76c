/** Compares what is stored with what it must be. */

import type { Difference } from './store.ts'

/** The fields in which the two sides differ; one side missing is a difference of `exists`. */
export function differences<V extends object>(
  kind: Difference['kind'],
  name: string,
  expected: V | null,
  found: V | null,
): Difference[] {
  if (expected === null || found === null) {
    if (expected === found) return []
    return [{ kind, name, field: 'exists', expected: expected && 'yes', found: found && 'yes' }]
  }
  const fields = Object.keys(expected) as (keyof V & string)[]
  return fields
    .filter(field => expected[field] !== found[field])
    .map(field => ({
      kind,
      name,
      field,
      expected: expected[field] as Difference['expected'],
      found: found[field] as Difference['found'],
    }))
}
