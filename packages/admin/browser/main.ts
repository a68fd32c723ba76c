/** Makes the page interactive: draws its charts, and refreshes its numbers. */

import { hydrate, render } from 'preact'
import { App, titleOf } from '../src/pages/app.ts'
import type { Answer } from '../src/pages/model.ts'
import { drawChart } from './draw-chart.ts'

const REFRESH_MS = 1_500
const TIMEOUT_MS = 10_000

const place = document.getElementById('app')!
/** The last answer of the server. */
let answer: Answer = JSON.parse(document.getElementById('answer')!.textContent)
let etag: string | null = null
/** The time since which the panel itself does not answer. */
let lostSince: string | null = null
let timer: number | undefined

function page() {
  const shown: Answer =
    lostSince === null || answer.unavailable !== null
      ? answer
      : { ...answer, unavailable: { since: lostSince, reason: 'panel' } }
  return App({ answer: shown, draw: drawChart })
}

async function refresh(): Promise<void> {
  try {
    const response = await fetch(`${location.pathname.replace(/\/$/, '')}/data${location.search}`, {
      headers: etag === null ? {} : { 'If-None-Match': etag },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    if (response.status === 401) {
      // The session is gone, or the panel was restarted: reloading leads through the sign-in page and back here.
      location.reload()
      return
    }
    if (response.status === 304) answer = { ...answer, asOf: response.headers.get('X-As-Of') || answer.asOf }
    else if (response.ok) take(await response.json(), response.headers.get('ETag'))
    else throw new Error(`the panel answered ${response.status}`)
    lostSince = null
  } catch {
    // Whatever the reason, the page shows that the panel does not answer.
    lostSince ??= new Date().toISOString()
  }
  render(page(), place)
  document.title = titleOf(answer)
}

function take(next: Answer, tag: string | null): void {
  etag = tag
  // A panel that was restarted while Analytics is away has no data yet; this page still has.
  const { data, asOf } = next.data === null ? answer : next
  answer = { ...next, data, asOf } as Answer
}

async function refreshForEver(): Promise<void> {
  clearTimeout(timer)
  await refresh()
  clearTimeout(timer)
  // A hidden page sends no requests.
  if (!document.hidden) timer = setTimeout(refreshForEver, REFRESH_MS)
}

/** A menu closes as menus do. */
function closeMenus(except: Node | null): void {
  for (const menu of document.querySelectorAll<HTMLDetailsElement>('details.own-period[open]'))
    if (except === null || !menu.contains(except)) menu.open = false
}

hydrate(page(), place)
document.addEventListener('pointerdown', ({ target }) => closeMenus(target as Node))
document.addEventListener('keydown', ({ key }) => {
  if (key !== 'Escape') return
  const menu = document.activeElement?.closest('details.own-period[open]')
  closeMenus(null)
  menu?.querySelector('summary')?.focus()
})
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) void refreshForEver()
})
timer = setTimeout(refreshForEver, REFRESH_MS)
