import { html } from 'htm/preact'
import type { VNode } from 'preact'
import type { Post } from '../posts.ts'

const DAY = new Intl.DateTimeFormat('en-GB', { dateStyle: 'long', timeZone: 'UTC' })

export function byline({ author, minutes }: Post): VNode {
  return html`<p class="byline">
    <a href=${`/authors/${author.slug}`}>${author.name}</a> · ${minutes} min
  </p>`
}

export function publishedOn({ publishedAt }: Post): VNode {
  return html`<time datetime=${publishedAt.toISOString()}>${DAY.format(publishedAt)}</time>`
}
