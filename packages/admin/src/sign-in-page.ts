import { html } from 'htm/preact'
import type { VNode } from 'preact'
import { brand } from './pages/layout.ts'

export interface SignIn {
  /** The panel's, `/` or `/stats/`. */
  root: string
  /** Where to go after signing in: a path of the panel, including its root. */
  next: string
  /** Why the form is shown again. */
  problem: string | null
}

export function SignInPage({ root, next, problem }: SignIn): VNode {
  return html`<main class="alone">
    ${brand(root)}
    <h1>Sign in</h1>
    <form method="post" action="${root}sign-in" class="sign-in">
      <input type="hidden" name="next" value=${next} />
      <input class="visually-hidden" name="username" value="admin" autocomplete="username" tabindex="-1" aria-hidden="true" readonly />
      <label for="password">Password</label>
      <input
        id="password"
        type="password"
        name="password"
        autocomplete="current-password"
        required
        autofocus
        maxlength="1000"
        aria-describedby=${problem === null ? undefined : 'problem'}
        aria-invalid=${problem === null ? undefined : 'true'}
      />
      ${problem !== null && html`<p id="problem" class="problem" role="alert">${problem}</p>`}
      <button>Sign in</button>
    </form>
  </main>`
}

/** A message instead of a page. */
export function MessagePage({ root, title, text }: { root: string; title: string; text: string }): VNode {
  return html`<main class="alone">
    ${brand(root)}
    <h1>${title}</h1>
    <p>${text}</p>
    <p><a href=${root}>Go to the overview</a></p>
  </main>`
}
