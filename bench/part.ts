/** A part of the benchmark: what it measures, and how what it measured is shown. */

import type { Bench } from './bench.ts'

export interface Shown {
  /** Markdown, by the name of its marker in the README. */
  tables: Record<string, string>
  /** SVG, by the file's name. */
  figures: Record<string, string>
}

export interface Part {
  name: string
  /** One line, for `--help`. */
  help: string
  /** Left out where no part is named: it installs servers of other systems, which needs root. */
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

/** Parts stand in one list, whatever they measure. */
export function part<Measured>({ show, ...rest }: PartOf<Measured>): Part {
  // results.json is written by `measure` alone.
  return { ...rest, show: measured => show(measured as Measured) }
}
