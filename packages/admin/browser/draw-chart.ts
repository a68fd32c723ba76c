/** Draws a chart of the pages with uPlot, and makes it react to pointer and keyboard. */

import uPlot from 'uplot'
import type { ChartSpec, DrawnChart, Series, Tone } from '../src/pages/chart.ts'
import { shortNumber } from '../src/pages/format.ts'
import { Readout } from './readout.ts'

/** Least distance between two labels on the axis, in pixels. */
const TICK_SPACE = 72
/** The top of the axis in an empty chart. */
const LEAST_TOP = 4
/** Views are integers, so ticks are, too. */
const COUNT_STEPS = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map(step => step * 10 ** power)).flat()

const TONES: Record<Tone, { colour: string; width: number; dash?: number[] }> = {
  main: { colour: '--chart-main', width: 2 },
  second: { colour: '--chart-second', width: 1.75 },
  before: { colour: '--chart-before', width: 1.5, dash: [4, 4] },
}

export function drawChart(place: unknown, spec: ChartSpec): DrawnChart {
  return new Chart(place as HTMLElement, spec)
}

class Chart implements DrawnChart {
  readonly #place: HTMLElement
  readonly #readout: Readout | null
  readonly #resizing: ResizeObserver
  readonly #ending = new AbortController()
  #spec: ChartSpec
  #plot: uPlot

  constructor(place: HTMLElement, spec: ChartSpec) {
    this.#place = place
    this.#spec = spec
    this.#readout =
      spec.size === 'spark'
        ? null
        : new Readout(place, spec, index => this.#point(index), this.#ending.signal)
    this.#plot = this.#draw()
    this.#resizing = new ResizeObserver(() => this.#plot.setSize(sizeOf(place)))
    this.#resizing.observe(place)
    // The colours come from the style sheet, which has other values in dark mode.
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#plot.redraw(), {
      signal: this.#ending.signal,
    })
    // Paper has the light colours, and another width.
    matchMedia('print').addEventListener('change', () => this.#plot.setSize(sizeOf(place)), {
      signal: this.#ending.signal,
    })
  }

  update(spec: ChartSpec): void {
    const old = this.#spec
    if (JSON.stringify(spec) === JSON.stringify(old)) return
    this.#spec = spec
    this.#readout?.update(spec)
    if (hasShapeOf(spec, old)) {
      this.#plot.setData(dataOf(spec))
    } else {
      this.#plot.destroy()
      this.#plot = this.#draw()
    }
  }

  remove(): void {
    this.#ending.abort()
    this.#resizing.disconnect()
    this.#plot.destroy()
  }

  /** Selects a point as a pointer does; null selects none. */
  #point(index: number | null): void {
    const left = index === null ? -10 : this.#plot.valToPos(index, 'x')
    this.#plot.setCursor({ left, top: index === null ? -10 : 0 })
  }

  #draw(): uPlot {
    return new uPlot(
      { ...optionsFor(this.#spec, this.#place), ...sizeOf(this.#place), hooks: this.#hooks() },
      dataOf(this.#spec),
      this.#place,
    )
  }

  #hooks(): uPlot.Hooks.Arrays {
    const readout = this.#readout
    if (readout === null) return {}
    return {
      draw: [plot => drawNotes(plot, this.#spec, this.#place)],
      setCursor: [
        ({ cursor, over }) =>
          readout.show(
            cursor.idx ?? null,
            over.offsetLeft + (cursor.left ?? 0),
            over.offsetLeft + over.clientWidth,
          ),
      ],
    }
  }
}

function hasShapeOf(spec: ChartSpec, old: ChartSpec): boolean {
  return (
    spec.points.length === old.points.length &&
    spec.series.length === old.series.length &&
    spec.unfinished === old.unfinished
  )
}

function sizeOf(place: HTMLElement) {
  return { width: place.clientWidth, height: place.clientHeight }
}

/**
 * If a point is unfinished, each series is split: a solid line up to the point before, and a dashed line from there to the
 * unfinished one.
 */
function dataOf({ points, series, unfinished }: ChartSpec): uPlot.AlignedData {
  const parts =
    unfinished === null
      ? [() => true]
      : [(index: number) => index < unfinished, (index: number) => index >= unfinished - 1]
  return [
    points.map((_, index) => index),
    ...parts.flatMap(isIn =>
      // What it is compared with is over.
      series.map(({ tone, values }) =>
        values.map((value, index) => (isIn(index) || tone === 'before' ? value : null)),
      ),
    ),
  ]
}

function optionsFor(spec: ChartSpec, place: HTMLElement): Omit<uPlot.Options, 'width' | 'height'> {
  const isSpark = spec.size === 'spark'
  const isBars = spec.series.some(({ shape }) => shape === 'bars')
  const last = spec.points.length - 1
  return {
    legend: { show: false },
    // Half of the label `28 Nov`, or `Nov 2026`, is right of the last day.
    padding: isSpark ? [2, 1, 1, 1] : [8, 30, 0, 0],
    scales: {
      x: { time: false, range: () => (isBars ? [-0.5, last + 0.5] : [0, Math.max(1, last)]) },
      y: { range: (_plot, _min, max) => [0, Math.max(isSpark ? 1 : LEAST_TOP, (max ?? 0) * 1.06)] },
    },
    axes: isSpark ? [{ show: false }, { show: false }] : axesOf(spec, place),
    series: [
      {},
      ...spec.series.map(series => seriesOf(series, place, isSpark)),
      ...(spec.unfinished !== null ? spec.series.map(series => unfinishedOf(series, place, isSpark)) : []),
    ],
    cursor: isSpark
      ? { show: false }
      : {
          y: false,
          drag: { x: false, y: false },
          move: snap,
          points: { size: 8, width: 2, fill: () => colour(place, '--card') },
        },
  }
}

/** Snaps the cursor line to the nearest point. */
function snap(plot: uPlot, left: number, top: number): [number, number] {
  return left < 0 ? [left, top] : [plot.valToPos(plot.posToIdx(left), 'x'), top]
}

function axesOf(spec: ChartSpec, place: HTMLElement): uPlot.Axis[] {
  const font = `12px ${getComputedStyle(place).fontFamily}`
  const stroke = () => colour(place, '--chart-text')
  return [
    {
      font,
      stroke,
      size: 28,
      gap: 8,
      grid: { show: false },
      ticks: { show: false },
      splits: plot => ticksOf(spec.points, plot.over.clientWidth || place.clientWidth),
      values: (_plot, splits) => splits.map(index => spec.points[index]?.tick ?? ''),
    },
    {
      font,
      stroke,
      gap: 8,
      size: (_plot, values) => 18 + 7 * Math.max(2, ...(values ?? []).map(text => text.length)),
      incrs: COUNT_STEPS,
      grid: { stroke: () => colour(place, '--chart-grid'), width: 1 },
      ticks: { show: false },
      values: (_plot, splits) => splits.map(shortNumber),
    },
  ]
}

/** The points with a label: of those that have one, as many as there is room for, evenly spaced, with one near the end. */
function ticksOf(points: ChartSpec['points'], width: number): number[] {
  const named = points.flatMap(({ tick }, index) => (tick === '' ? [] : [index]))
  const step = Math.max(1, Math.ceil(named.length / Math.max(1, Math.floor(width / TICK_SPACE))))
  const first = (named.length - 1 - Math.floor(step / 2)) % step
  return named.filter((_, nth) => nth % step === Math.max(0, first))
}

/** A dashed line and a dot for whatever happened at a point. */
function drawNotes({ ctx, bbox, valToPos }: uPlot, { notes = [] }: ChartSpec, place: HTMLElement): void {
  ctx.save()
  ctx.strokeStyle = ctx.fillStyle = colour(place, '--chart-note')
  ctx.lineWidth = devicePixelRatio
  ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio])
  for (const { index } of notes) {
    const x = valToPos(index, 'x', true)
    ctx.beginPath()
    ctx.moveTo(x, bbox.top)
    ctx.lineTo(x, bbox.top + bbox.height)
    ctx.stroke()
    ctx.beginPath()
    ctx.arc(x, bbox.top + 4 * devicePixelRatio, 3.5 * devicePixelRatio, 0, 2 * Math.PI)
    ctx.fill()
  }
  ctx.restore()
}

function seriesOf({ tone, shape }: Series, place: HTMLElement, isSpark: boolean): uPlot.Series {
  const { colour: name, width, dash } = TONES[tone]
  const stroke = () => colour(place, name)
  const common = { stroke, points: { show: false }, spanGaps: false, ...(dash && { dash }) }
  if (shape === 'bars') {
    const bars = uPlot.paths.bars!({ size: [0.7, 12], radius: 0.2 })
    return { ...common, width: 0, fill: stroke, paths: bars }
  }
  const fill = { fill: (plot: uPlot) => fade(plot, colour(place, name)) }
  return { ...common, width: isSpark ? 1.5 : width, ...(shape === 'area' && fill) }
}

function unfinishedOf({ tone }: Series, place: HTMLElement, isSpark: boolean): uPlot.Series {
  const { colour: name, width } = TONES[tone]
  return {
    stroke: () => colour(place, name),
    width: isSpark ? 1.5 : width,
    dash: isSpark ? [2, 2] : [3, 4],
    points: { show: false },
  }
}

/** From a thin shade of the colour to almost nothing. */
function fade(plot: uPlot, from: string): CanvasGradient {
  const { top, height } = plot.bbox
  const gradient = plot.ctx.createLinearGradient(0, top, 0, top + height)
  gradient.addColorStop(0, `color-mix(in srgb, ${from} 22%, transparent)`)
  gradient.addColorStop(1, `color-mix(in srgb, ${from} 2%, transparent)`)
  return gradient
}

function colour(place: HTMLElement, name: string): string {
  return getComputedStyle(place).getPropertyValue(name).trim()
}
