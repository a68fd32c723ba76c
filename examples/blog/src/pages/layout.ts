import { html } from 'htm/preact'
import type { ComponentChildren, VNode } from 'preact'
import type { Person } from '../people.ts'
import { STYLE_PATH } from '../style.ts'

export interface LayoutOptions {
  /** The page's title; the blog's name is added. */
  title?: string
  description?: string
  /** The signed-in reader. */
  reader: Person | null
  /** Where sign-in returns to. */
  path?: string
  children: ComponentChildren
}

const NAME = 'Odd Hours'
const TAGLINE = 'What six of us do when nobody is asking'
const ICON = `data:image/svg+xml,${encodeURIComponent(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="16" cy="16" r="15" fill="#a13d1a"/><path d="M16 7v9l6 4" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round" stroke-linejoin="round"/></svg>',
)}`

export function layout({ title, description = TAGLINE, reader, path = '/', children }: LayoutOptions): VNode {
  return html`<html lang="en">
    <head>
      <meta charset="utf-8" />
      <meta name="viewport" content="width=device-width, initial-scale=1" />
      <meta name="color-scheme" content="light dark" />
      <title>${title === undefined ? NAME : `${title} · ${NAME}`}</title>
      <meta name="description" content=${description} />
      <link rel="icon" href=${ICON} />
      <link rel="stylesheet" href=${STYLE_PATH} />
    </head>
    <body>
      <a class="skip" href="#content">Skip to the text</a>
      <header class="masthead">
        <div class="brand">
          <a href="/">${NAME}</a>
          <p>${TAGLINE}</p>
        </div>
        ${account(reader, path)}
      </header>
      <main id="content">${children}</main>
      <footer class="colophon">
        <p>
          ${NAME} is the sample blog of postviews. The people are made up, and so is the signing in: pick anyone, there
          is no password.
        </p>
      </footer>
    </body>
  </html>`
}

function account(reader: Person | null, path: string): VNode {
  if (reader === null) {
    return html`<nav aria-label="Account">
      <a href=${`/sign-in?next=${encodeURIComponent(path)}`}>Sign in</a>
    </nav>`
  }
  return html`<nav aria-label="Account">
    ${reader.role === 'author' && html`<a href="/dashboard">Dashboard</a>`}
    <form method="post" action="/sign-out">
      <span class="who">${reader.name}</span>
      <button class="plain">Sign out</button>
    </form>
  </nav>`
}
