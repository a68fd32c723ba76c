import { html } from 'htm/preact'
import type { VNode } from 'preact'
import { type DrawChart, DrawContext } from './chart.ts'
import type { Answer } from './model.ts'
import { OverviewPage } from './overview-page.ts'
import { PostPage } from './post-page.ts'

export interface AppOptions {
  answer: Answer
  /** Null on the server, where nothing is drawn. */
  draw: DrawChart | null
}

/** The whole page: the same on the server and in the browser. */
export function App({ answer, draw }: AppOptions): VNode {
  const page = answer.page === 'overview' ? OverviewPage(answer) : PostPage(answer)
  return html`<${DrawContext.Provider} value=${draw}>${page}<//>`
}

/** The title of the window. */
export function titleOf(answer: Answer): string {
  if (answer.page === 'overview') return 'Overview · postviews'
  return `${answer.data?.name?.title ?? answer.id} · postviews`
}

/** The address to read the same answer from again. */
export function dataPath(answer: Answer): string {
  const { root } = answer
  return answer.page === 'overview' ? `${root}data` : `${root}posts/${answer.id}/data`
}
