/** Where the results go: results.json, figures/*.svg, and the README between its markers. */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import type { Part, Shown } from './part.ts'

const FOLDER = import.meta.dirname
const RESULTS = join(FOLDER, 'results.json')
const README = join(FOLDER, 'README.md')

/** The measurements of one part, with time, machine and command. */
export interface Result {
  command: string
  /** ISO 8601. */
  measuredAt: string
  machine: string
  measured: unknown
}

export type Results = Record<string, Result>

export function readResults(): Results {
  return existsSync(RESULTS) ? (JSON.parse(readFileSync(RESULTS, 'utf8')) as Results) : {}
}

/** Keeps the results of the other parts. */
export function saveResult(name: string, result: Result): void {
  const results = { ...readResults(), [name]: result }
  writeFileSync(RESULTS, `${JSON.stringify(results, null, 2)}\n`)
}

/** The processor, its cores, memory, system and Node. */
export function describeMachine(): string {
  const [cpu] = cpus()
  const memory = Math.round(totalmem() / 2 ** 30)
  return `${cpus().length} cores (${cpu?.model.trim()}), ${memory} GiB of memory, Linux ${release()}, Node ${process.version.slice(1)}`
}

/** Draws the figures again, and fills the README's tables. @throws {Error} when the README has no marker for one */
export function publish({ name }: Part, { tables, figures }: Shown, result: Result): void {
  mkdirSync(join(FOLDER, 'figures'), { recursive: true })
  for (const [file, svg] of Object.entries(figures)) writeFileSync(join(FOLDER, 'figures', file), svg)
  const source = `\`${result.command}\`, ${result.measuredAt.slice(0, 10)}; ${result.machine}.`
  const filled = Object.entries({ ...tables, [`${name}-source`]: source }).reduce(
    (text, [marker, content]) => fill(text, marker, content),
    readFileSync(README, 'utf8'),
  )
  writeFileSync(README, filled)
}

/** Replaces the text between `<!-- NAME -->` and `<!-- /NAME -->`. */
export function fill(text: string, marker: string, content: string): string {
  const begin = `<!-- ${marker} -->\n`
  const end = `<!-- /${marker} -->`
  const from = text.indexOf(begin)
  const to = text.indexOf(end)
  if (from === -1 || to < from) throw new Error(`bench/README.md has no place for ${marker}`)
  return `${text.slice(0, from) + begin}\n${content}\n\n${text.slice(to)}`
}
