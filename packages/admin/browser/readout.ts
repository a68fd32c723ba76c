/** Shows the values at one point of a chart: in a small card, and as text for screen readers. */

import type { ChartSpec } from '../src/pages/chart.ts'
import { number } from '../src/pages/format.ts'

/** The distance that each key moves, in points. */
const KEYS: Record<string, number> = {
  ArrowLeft: -1,
  ArrowRight: 1,
  PageUp: -7,
  PageDown: 7,
  Home: Number.NEGATIVE_INFINITY,
  End: Number.POSITIVE_INFINITY,
}

export class Readout {
  readonly #place: HTMLElement
  readonly #card = element('div', 'tip')
  readonly #voice = element('div', 'visually-hidden')
  readonly #point: (index: number | null) => void
  #spec: ChartSpec
  #index: number | null = null

  /** @param point selects a point of the chart, which then calls `show` */
  constructor(
    place: HTMLElement,
    spec: ChartSpec,
    point: (index: number | null) => void,
    signal: AbortSignal,
  ) {
    this.#place = place
    this.#spec = spec
    this.#point = point
    this.#card.hidden = true
    this.#card.ariaHidden = 'true'
    this.#voice.ariaLive = 'polite'
    place.append(this.#card, this.#voice)
    place.tabIndex = 0
    // Otherwise a screen reader handles the arrow keys itself.
    place.role = 'application'
    place.ariaRoleDescription = 'chart'
    this.update(spec)
    place.addEventListener('keydown', event => this.#onKey(event), { signal })
    place.addEventListener('blur', () => this.#point(null), { signal })
  }

  update(spec: ChartSpec): void {
    this.#spec = spec
    const keys = this.#table() === null ? '' : ', T opens the table'
    this.#place.ariaLabel = `${spec.label}. Arrow keys read out the values${keys}.`
  }

  /**
   * @param index of the point, or null for none
   * @param left of the point, and `right` of the chart, in pixels of the place
   */
  show(index: number | null, left: number, right: number): void {
    this.#index = index
    this.#card.hidden = index === null
    if (index === null) return
    this.#card.replaceChildren(
      element('strong', '', this.#name(index)),
      ...this.#spec.series.map(({ name, tone, values, valueNames }) => {
        const line = element('span', `tone-${tone}`, valueNames?.[index] ?? name)
        line.append(element('b', '', number(values[index] ?? null)))
        return line
      }),
      ...this.#notes(index).map(text => element('p', 'note', text)),
    )
    const { offsetWidth: width } = this.#card
    const isRight = left + 14 + width > right
    this.#card.style.transform = `translateX(${Math.round(isRight ? Math.max(0, left - 14 - width) : left + 14)}px)`
  }

  #onKey(event: KeyboardEvent): void {
    if (event.altKey || event.ctrlKey || event.metaKey) return
    const step = KEYS[event.key]
    if (step !== undefined) this.#step(step)
    else if (event.key === 'Escape') this.#point(null)
    else if (event.key === 't' || event.key === 'T') this.#toggleTable()
    else return
    event.preventDefault()
  }

  #step(step: number): void {
    const last = this.#spec.points.length - 1
    // Without a selection, any key selects the newest point, except the key for the beginning.
    const newest = this.#spec.unfinished ?? last
    const from = this.#index ?? (step === Number.NEGATIVE_INFINITY ? 0 : newest - step)
    const index = Math.min(last, Math.max(0, from + step))
    this.#point(index)
    this.#voice.textContent = this.#text(index)
  }

  #text(index: number): string {
    const values = this.#spec.series.map(({ name, values, valueNames }) => {
      const value = values[index] ?? null
      return `${valueNames?.[index] ?? name}: ${value === null ? 'unknown' : number(value)}`
    })
    return [this.#name(index), ...values, ...this.#notes(index)].join('; ')
  }

  #notes(index: number): string[] {
    return (this.#spec.notes ?? []).filter(note => note.index === index).map(({ text }) => text)
  }

  #name(index: number): string {
    const { points, unfinished } = this.#spec
    return `${points[index]?.name}${index === unfinished ? ', so far' : ''}`
  }

  #table(): HTMLDetailsElement | null {
    return this.#place.parentElement?.querySelector<HTMLDetailsElement>('details.table-toggle') ?? null
  }

  #toggleTable(): void {
    const table = this.#table()
    if (table === null) return
    table.open = !table.open
    if (table.open) table.querySelector('summary')?.focus()
  }
}

function element(name: string, className: string, text = ''): HTMLElement {
  const made = document.createElement(name)
  made.className = className
  made.textContent = text
  return made
}
