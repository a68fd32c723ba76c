/** The frame of every page: brand, how fresh the numbers are, whether they are current, and what they mean. */

import { type StatsZone, zoneTime } from '@postviews/client/src/zone-time.ts'
import { html } from 'htm/preact'
import type { ComponentChildren, VNode } from 'preact'
import * as format from './format.ts'
import type { Answer, Counting, Unavailable } from './model.ts'
import { onPage, toAddress } from './question.ts'

export function layout(answer: Answer, content: ComponentChildren): VNode {
  const { data, asOf, unavailable } = answer
  const zone = data?.zone ?? answer.zone
  return html`
    <a class="skip" href="#content">Skip to the numbers</a>
    <header class="top">
      <div class="top-inner">
        ${brand(answer.root)} ${pages(answer)}
        ${freshness(asOf, data?.counting ?? null, unavailable, zone)}
        <form method="post" action="${answer.root}sign-out"><button class="quiet">Sign out</button></form>
      </div>
    </header>
    <main id="content" class=${unavailable !== null && data !== null ? 'page is-old' : 'page'} tabindex="-1">
      <div role="status">${unavailable !== null && banner(unavailable, asOf, zone)}</div>
      ${content}
    </main>
    <footer class="bottom">
      <p>
        <dfn>Unique views</dfn>: each reader counts once per post per day, or per shorter window where
        ${' '}<code>UNIQUE_WINDOW</code> is set. Unique views of several days or posts are added up.
      </p>
      ${data !== null && html`<p>Days and times are those of ${zone.timezone}.${deadLetters(data.counting)}</p>`}
    </footer>
  `
}

/** The same days on the other page. */
function pages(answer: Answer): VNode {
  const { root, question, page } = answer
  const link = (name: typeof page, path: string, text: string) =>
    html`<a
      href=${toAddress(path, { ...onPage(question), who: page === 'machines' ? 'people' : question.who })}
      aria-current=${page === name ? 'page' : undefined}
      >${text}</a
    >`
  return html`<nav class="pages" aria-label="Pages">
    ${link('overview', root, 'Overview')} ${link('machines', `${root}machines`, 'Machines')}
  </nav>`
}

/** @param root of the panel */
export function brand(root: string): VNode {
  return html`<a class="brand" href=${root}>
    <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true">
      <rect width="32" height="32" rx="8" />
      <path d="M7 22l6-8 5 5 7-10" />
      <circle cx="25" cy="9" r="2.5" />
    </svg>
    postviews
  </a>`
}

function freshness(
  asOf: string | null,
  counting: Counting | null,
  unavailable: Unavailable | null,
  zone: StatsZone,
): VNode {
  const isOld = unavailable !== null
  return html`<p class=${isOld ? 'freshness is-away' : 'freshness'}>
    <span class="as-of">
      ${
        asOf === null
          ? 'No numbers yet'
          : html`${isOld ? 'Last read' : 'As of'} <time dateTime=${asOf}>${zoneTime(asOf, zone)}</time>`
      }
    </span>
    <span class="behind">${counting === null || isOld ? QUEUE_UNKNOWN : behind(counting)}</span>
  </p>`
}

const QUEUE_UNKNOWN = 'queue length unknown'

/** How far counting is behind what was published. */
export function behind({ queued, lag_seconds: lag }: Counting): string {
  if (queued === null) return QUEUE_UNKNOWN
  const late = lag === null ? '' : `${format.duration(lag)} behind`
  if (queued > 0) return `${format.some(queued, 'message')} queued${late && `, ${late}`}`
  // The queue is empty, but a consumer may hold unacknowledged messages.
  return late === '' ? 'queue empty' : lag === 0 ? 'up to date' : late
}

function deadLetters({ dead }: Counting): string {
  if (dead === null) return ' The number of dead letters is unknown.'
  return dead === 0 ? '' : ` ${format.some(dead, 'dead letter')} cannot be counted.`
}

const REASONS: Record<Unavailable['reason'], string> = {
  away: 'Analytics has been unavailable',
  refused: 'Analytics has refused this panel’s key',
  panel: 'The panel has been unreachable',
}

function banner({ since, reason }: Unavailable, asOf: string | null, zone: StatsZone): VNode {
  return html`<div class="banner">
    <p>
      <strong>${REASONS[reason]}</strong> since
      <time dateTime=${since}> ${format.dayAndTime(since, zone)}</time>.
    </p>
    <p>
      ${
        asOf === null
          ? 'No numbers are known until it is back. This page will then show them without a reload.'
          : `These are the last numbers, read ${format.dayAndTime(asOf, zone)}.`
      }
    </p>
  </div>`
}
