import { html } from 'htm/preact'
import type { VNode } from 'preact'
import { PEOPLE, type Person } from '../people.ts'
import { layout } from './layout.ts'

export function signInPage({ next, reader }: { next: string; reader: Person | null }): VNode {
  const choice = ({ id, name, about }: Person) => html`<li>
    <button name="person" value=${id}><b>${name}</b> <span>${about}</span></button>
  </li>`
  return layout({
    title: 'Sign in',
    reader,
    path: next,
    children: html`
      <header class="page-head">
        <h1>Sign in</h1>
        <p class="summary">
          This is a sample, so there is no password. Pick who you want to be: your views count as logged-in, and an
          author has a dashboard.
        </p>
      </header>
      <form class="people" method="post" action="/sign-in">
        <input type="hidden" name="next" value=${next} />
        <h2>Readers</h2>
        <ul>
          ${PEOPLE.filter(({ role }) => role === 'reader').map(choice)}
        </ul>
        <h2>Authors</h2>
        <ul>
          ${PEOPLE.filter(({ role }) => role === 'author').map(choice)}
        </ul>
      </form>
    `,
  })
}
