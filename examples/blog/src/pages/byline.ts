import { type StatsZone, UTC, zoneDay } from '@postviews/client/src/index.ts'
import { html } from 'htm/preact'
import type { VNode } from 'preact'
import type { Post } from '../posts.ts'

export function byline({ author, minutes }: Post): VNode {
  return html`<p class="byline">
    <a href=${`/authors/${author.slug}`}>${author.name}</a> · ${minutes} min
  </p>`
}

export function publishedOn({ publishedAt }: Post, zone: StatsZone = UTC): VNode {
  return html`<time datetime=${publishedAt.toISOString()}>${zoneDay(publishedAt, zone)}</time>`
}
