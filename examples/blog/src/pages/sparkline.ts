import { html } from 'htm/preact'
import type { VNode } from 'preact'
import type { Day } from '../statistics.ts'

const WIDTH = 180
const HEIGHT = 40
/** Room for the line's own width, so that its peak and its last day are not cut off. */
const MARGIN = 3

/**
 * The views of each day as a line above 0, with a text alternative. The line to the last point is dotted, because today is not
 * over. Days whose views are unknown are left out at the beginning, where they are.
 */
export function sparkline(days: readonly Day[]): VNode {
  const views = days.flatMap((day, index) =>
    days.slice(index).some(({ views }) => views === null) ? [] : [day.views ?? 0],
  )
  const most = Math.max(1, ...views)
  const points = views.map((count, index) => ({
    x: MARGIN + (index / Math.max(1, views.length - 1)) * (WIDTH - 2 * MARGIN),
    y: HEIGHT - MARGIN - (count / most) * (HEIGHT - 2 * MARGIN),
  }))
  const pathOf = (part: typeof points) => part.map(({ x, y }) => `${x.toFixed(1)} ${y.toFixed(1)}`).join('L')
  const last = points.at(-1) ?? { x: MARGIN, y: HEIGHT - MARGIN }
  const label = `Views per day, last ${views.length} days: at most ${Math.max(0, ...views)}, today ${views.at(-1) ?? 0} so far`
  return html`<svg class="spark" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label=${label}>
    <path class="area" d=${`M${MARGIN} ${HEIGHT - MARGIN}L${pathOf(points)}L${WIDTH - MARGIN} ${HEIGHT - MARGIN}Z`} />
    <path class="line" d=${`M${pathOf(points.slice(0, -1))}`} />
    <path class="line today" d=${`M${pathOf(points.slice(-2))}`} />
    <circle cx=${last.x} cy=${last.y.toFixed(1)} r="2.5" />
  </svg>`
}
