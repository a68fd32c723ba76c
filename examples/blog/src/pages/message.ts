import { html } from 'htm/preact'
import type { VNode } from 'preact'
import type { Person } from '../people.ts'
import { layout } from './layout.ts'

export function messagePage({
  title,
  text,
  reader,
}: {
  title: string
  text: string
  reader: Person | null
}): VNode {
  return layout({
    title,
    reader,
    children: html`
      <header class="page-head">
        <h1>${title}</h1>
        <p class="summary">${text}</p>
        <p><a href="/">Back to the posts</a></p>
      </header>
    `,
  })
}
