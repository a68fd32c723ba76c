/** Figures as text, and Markdown tables that are also readable on a terminal. */

import type { Summary } from './measure.ts'

const WHOLE = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })

/** `12,345`. */
export function thousands(value: number): string {
  return WHOLE.format(value)
}

/** With two or three significant digits: `0.42`, `6.3`, `41`. */
export function decimal(value: number): string {
  if (value >= 20) return thousands(value)
  return value >= 2 ? value.toFixed(1) : value.toFixed(2)
}

/** `0.42 (0.40 to 0.45)`. */
export function withRange({ median, min, max }: Summary, format: (value: number) => string): string {
  return `${format(median)} (${format(min)} to ${format(max)})`
}

/** Milliseconds: `0.42 ms`, `41 ms`. */
export function milliseconds(value: number): string {
  return `${decimal(value)} ms`
}

/** `87 MB`. */
export function megabytes(bytes: number): string {
  return `${thousands(bytes / 1e6)} MB`
}

/** A Markdown table; every column but the first is aligned to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(3, title.length, ...rows.map(row => (row[column] ?? '').length)),
  )
  const line = (cells: readonly string[]) =>
    `| ${widths.map((width, column) => pad(cells[column] ?? '', width, column)).join(' | ')} |`
  const rule = widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
  return [line(head), `| ${rule.join(' | ')} |`, ...rows.map(line)].join('\n')
}

function pad(text: string, width: number, column: number): string {
  return column === 0 ? text.padEnd(width) : text.padStart(width)
}
