import { html } from 'htm/preact'
import type { VNode } from 'preact'
import type { Person } from '../people.ts'
import type { Post } from '../posts.ts'
import { byline, publishedOn } from './byline.ts'
import { layout } from './layout.ts'

interface HomeOptions {
  posts: readonly Post[]
  /** Empty while nobody knows. */
  mostRead: readonly Post[]
  reader: Person | null
}

export function homePage({ posts, mostRead, reader }: HomeOptions): VNode {
  const [newest, ...others] = posts
  return layout({
    reader,
    children: html`
      <h1 class="hidden">Latest posts</h1>
      ${newest && postCard(newest, 'lead')} ${mostRead.length > 0 && mostReadList(mostRead)} ${postList(others)}
    `,
  })
}

function mostReadList(posts: readonly Post[]): VNode {
  return html`<section class="most-read" aria-labelledby="most-read">
    <h2 id="most-read">Most read</h2>
    <ol>
      ${posts.map(({ slug, title }) => html`<li><a href=${`/posts/${slug}`}>${title}</a></li>`)}
    </ol>
  </section>`
}

export function postList(posts: readonly Post[]): VNode {
  return html`<div class="posts">${posts.map(post => postCard(post, 'card'))}</div>`
}

function postCard(post: Post, className: 'lead' | 'card'): VNode {
  return html`<article class=${className}>
    <p class="eyebrow"><span>${post.topic}</span> ${publishedOn(post)}</p>
    <h2><a href=${`/posts/${post.slug}`}>${post.title}</a></h2>
    <p class="summary">${post.summary}</p>
    ${byline(post)}
  </article>`
}
