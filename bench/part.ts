/** A part of the benchmark: what it measures, and how its results are shown. */

import type { Bench } from './bench.ts'

export interface Shown {
  /** Markdown, by marker name in the README. */
  tables: Record<string, string>
  /** SVG, by file name. */
  figures: Record<string, string>
}

export interface Part {
  name: string
  /** One line, for `--help`. */
  help: string
  /** Runs only when it is named: it installs servers of other systems, which needs root. */
  isOnlyByName?: true
  /** @returns what was measured, as plain JSON */
  measure(bench: Bench): Promise<unknown>
  /** Shows what `measure` returned, now or in an earlier run. */
  show(measured: unknown): Shown
}

export interface PartOf<Measured> extends Pick<Part, 'name' | 'help' | 'isOnlyByName'> {
  measure(bench: Bench): Promise<Measured>
  show(measured: Measured): Shown
}

/** Hides the result's type, so that all parts fit into one list. */
export function part<Measured>({ show, ...rest }: PartOf<Measured>): Part {
  // Only `measure` writes results.json.
  return { ...rest, show: measured => show(measured as Measured) }
}
