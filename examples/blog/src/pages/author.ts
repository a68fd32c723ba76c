import { html } from 'htm/preact'
import type { VNode } from 'preact'
import type { Person } from '../people.ts'
import type { Post } from '../posts.ts'
import { postList } from './home.ts'
import { layout } from './layout.ts'

interface AuthorPageOptions {
  author: Person
  posts: readonly Post[]
  reader: Person | null
}

export function authorPage({ author, posts, reader }: AuthorPageOptions): VNode {
  return layout({
    title: author.name,
    reader,
    path: `/authors/${author.slug}`,
    children: html`
      <header class="page-head">
        <h1>${author.name}</h1>
        <p class="summary">${author.about}</p>
      </header>
      ${posts.length > 0 ? postList(posts) : html`<p>Nothing published yet.</p>`}
    `,
  })
}
