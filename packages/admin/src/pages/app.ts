import { html } from 'htm/preact'
import type { VNode } from 'preact'
import { type DrawChart, DrawContext } from './chart.ts'
import { LISTS } from './labels.ts'
import { ListPage } from './list-page.ts'
import { MachinesPage } from './machines-page.ts'
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
  return html`<${DrawContext.Provider} value=${draw}>${pageOf(answer)}<//>`
}

function pageOf(answer: Answer): VNode {
  switch (answer.page) {
    case 'overview':
      return OverviewPage(answer)
    case 'post':
      return PostPage(answer)
    case 'machines':
      return MachinesPage(answer)
    case 'list':
      return ListPage(answer)
  }
}

/** The title of the window. */
export function titleOf(answer: Answer): string {
  return `${nameOf(answer)} · postviews`
}

function nameOf(answer: Answer): string {
  switch (answer.page) {
    case 'overview':
      return 'Overview'
    case 'post':
      return answer.data?.name?.title ?? answer.id
    case 'machines':
      return 'Machines'
    case 'list': {
      const of = answer.data?.name?.title ?? answer.id
      return LISTS[answer.dimension].tab + (of === null ? '' : ` of ${of}`)
    }
  }
}
