import { html } from 'htm/preact'
import type { VNode } from 'preact'
import type { Person } from '../people.ts'
import type { Post } from '../posts.ts'
import { byline, publishedOn } from './byline.ts'
import { layout } from './layout.ts'

export function homePage({ posts, reader }: { posts: readonly Post[]; reader: Person | null }): VNode {
  const [newest, ...others] = posts
  return layout({
    reader,
    children: html`
      <h1 class="hidden">Latest posts</h1>
      ${newest && postCard(newest, 'lead')} ${postList(others)}
    `,
  })
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
