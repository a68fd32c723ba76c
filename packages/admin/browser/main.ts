/** Brings the page to life: charts appear, and the numbers refresh by themselves. */

import { hydrate, render } from 'preact'
import { App, dataPath, titleOf } from '../src/pages/app.ts'
import type { Answer } from '../src/pages/model.ts'
import { drawChart } from './draw-chart.ts'

const REFRESH_MS = 1_500
const TIMEOUT_MS = 10_000

const place = document.getElementById('app')!
/** What the server last said. */
let answer: Answer = JSON.parse(document.getElementById('answer')!.textContent)
let etag: string | null = null
/** Since when the panel itself does not answer. */
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
    const response = await fetch(dataPath(answer) + location.search, {
      headers: etag === null ? {} : { 'If-None-Match': etag },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    if (response.status === 401) {
      // Signed out, or the panel was started anew: this leads to the sign-in page and back.
      location.reload()
      return
    }
    if (response.status === 304) answer = { ...answer, asOf: response.headers.get('X-As-Of') || answer.asOf }
    else if (response.ok) take(await response.json(), response.headers.get('ETag'))
    else throw new Error(`the panel answered ${response.status}`)
    lostSince = null
  } catch {
    // Whatever it is that keeps it from answering, the page says so.
    lostSince ??= new Date().toISOString()
  }
  render(page(), place)
  document.title = titleOf(answer)
}

function take(next: Answer, tag: string | null): void {
  etag = tag
  // A panel that was started while Analytics is away knows less than this page.
  const { data, asOf } = next.data === null ? answer : next
  answer = { ...next, data, asOf } as Answer
}

async function refreshForEver(): Promise<void> {
  clearTimeout(timer)
  await refresh()
  clearTimeout(timer)
  // A page that nobody sees asks nothing.
  if (!document.hidden) timer = setTimeout(refreshForEver, REFRESH_MS)
}

hydrate(page(), place)
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) void refreshForEver()
})
timer = setTimeout(refreshForEver, REFRESH_MS)
