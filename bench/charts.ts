/** Figures as SVG, readable on light and on dark pages. */

import * as Plot from '@observablehq/plot'
import { parseHTML } from 'linkedom'
import type { Summary } from './measure.ts'

const SVG = 'http://www.w3.org/2000/svg'
const WIDTH = 860
const ROW_HEIGHT = 26
const LETTER_WIDTH = 6.4
/** The number of text lines that fit into the height of a chart. */
const LETTERS_HIGH = 18

// A README shows the picture as an image, so it needs its own background; otherwise it may be dark on dark.
const STYLE = `
  svg { background: #ffffff; color: #1f2328; --bar: #2f6fab; --bar-2: #c2703d; --bar-3: #4f8f5b; --bar-4: #8a63b0; }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117; color: #e6edf3; --bar: #5b9bd8; --bar-2: #e0935f; --bar-3: #74b881; --bar-4: #b08fd8; }
  }`
const COLORS = ['var(--bar)', 'var(--bar-2)', 'var(--bar-3)', 'var(--bar-4)'] as const

export interface Bar extends Summary {
  title: string
  /** Marks our own bars among others. */
  stressed: boolean
}

export interface BarChart {
  /** Also the text alternative. */
  title: string
  unit: string
  bars: readonly Bar[]
  format: (value: number) => string
}

/** Medians as bars, each with a line from minimum to maximum. */
export function barChart({ title, unit, bars, format }: BarChart): string {
  const longest = Math.max(...bars.map(({ title }) => title.length))
  const greatest = Math.max(...bars.map(({ max }) => max))
  return draw(title, {
    height: bars.length * ROW_HEIGHT + 70,
    marginBottom: 44,
    color: { type: 'identity' },
    marginLeft: longest * LETTER_WIDTH + 16,
    x: { label: unit, grid: true, tickFormat: format, domain: [0, greatest * 1.12] },
    y: { label: null, domain: bars.map(({ title }) => title), padding: 0.25 },
    marks: [
      Plot.barX(bars, { x: 'median', y: 'title', fill: (bar: Bar) => COLORS[bar.stressed ? 0 : 1] }),
      Plot.ruleY(bars, { x1: 'min', x2: 'max', y: 'title', strokeWidth: 1.5, marker: 'tick' }),
      Plot.text(bars, {
        x: 'max',
        y: 'title',
        text: (bar: Bar) => format(bar.median),
        textAnchor: 'start',
        dx: 8,
        fill: 'currentColor',
      }),
      Plot.ruleX([0]),
    ],
  })
}

export interface Point {
  x: number
  y: number
  series: string
}

export interface LineChart {
  /** Also the text alternative. */
  title: string
  xLabel: string
  yLabel: string
  points: readonly Point[]
  xFormat: (value: number) => string
  yFormat: (value: number) => string
}

/** One line per series, with its name at the end. */
export function lineChart({ title, xLabel, yLabel, points, xFormat, yFormat }: LineChart): string {
  const series = [...new Set(points.map(point => point.series))]
  const longest = Math.max(...series.map(name => name.length))
  const ends = series.map(name => points.findLast(point => point.series === name)!)
  const greatest = Math.max(...points.map(({ y }) => y))
  const names = apart(ends, greatest / LETTERS_HIGH)
  return draw(title, {
    height: 340,
    marginBottom: 44,
    marginLeft: 70,
    marginRight: longest * LETTER_WIDTH + 20,
    x: { label: xLabel, tickFormat: xFormat },
    y: { label: yLabel, grid: true, tickFormat: yFormat, zero: true },
    color: { domain: series, range: [...COLORS] },
    marks: [
      Plot.ruleY([0]),
      Plot.lineY(points, { x: 'x', y: 'y', stroke: 'series', strokeWidth: 2, marker: 'dot' }),
      Plot.text(names, { x: 'x', y: 'y', text: 'series', textAnchor: 'start', dx: 8, fill: 'series' }),
    ],
  })
}

/** Moves names apart where lines end closer to each other than `gap`. */
function apart(ends: readonly Point[], gap: number): Point[] {
  let free = Number.NEGATIVE_INFINITY
  return ends
    .toSorted((a, b) => a.y - b.y)
    .map(end => {
      const y = Math.max(end.y, free)
      free = y + gap
      return { ...end, y }
    })
}

function draw(title: string, options: Plot.PlotOptions): string {
  const { document } = parseHTML('<!doctype html><html></html>')
  const svg = Plot.plot({ ...options, document, width: WIDTH, style: { fontSize: '12px' } })
  // The library's style is meant for a web page, and does not apply to a file of its own.
  svg.querySelector('style')?.remove()
  svg.prepend(element(document, 'title', title), element(document, 'style', STYLE))
  svg.setAttribute('role', 'img')
  svg.setAttribute('aria-label', title)
  svg.setAttribute('xmlns', SVG)
  return `${svg.outerHTML}\n`
}

function element(document: Document, name: string, text: string): Element {
  const created = document.createElementNS(SVG, name)
  created.textContent = text
  return created
}
