import { html } from 'htm/preact'
import type { VNode } from 'preact'
import { controls, periodLine, questionProblem } from './controls.ts'
import * as format from './format.ts'
import { LISTS } from './labels.ts'
import { layout } from './layout.ts'
import { type ListAnswer, VALUES_PER_PAGE } from './model.ts'
import { isOfMachines, onPage, toAddress } from './question.ts'
import { csvLink, isToCome, paging, section, stillToCome } from './sections.ts'
import { valuesTable } from './values-section.ts'

/** The page of the numbers that the list belongs to. */
function parentOf({ id, dimension, root }: ListAnswer): string {
  if (id !== null) return `${root}posts/${id}`
  return isOfMachines(dimension) ? `${root}machines` : root
}

export function ListPage(answer: ListAnswer): VNode {
  const { id, data, dimension, question, root } = answer
  const parent = parentOf(answer)
  const path = `${root}${id === null ? '' : `posts/${id}/`}lists/${dimension}`
  const name = data?.name?.title ?? id ?? (isOfMachines(dimension) ? 'Machines' : 'Overview')
  return layout(
    answer,
    html`<nav class="crumbs" aria-label="Breadcrumb"><a href=${toAddress(parent, onPage(question))}>${name}</a></nav>
      <div class="page-head">
        <div>
          <h1>${LISTS[dimension].tab}</h1>
          ${data !== null && periodLine(data.trend)}
        </div>
        ${controls({ path, question, trend: data?.trend ?? null, hasWho: !isOfMachines(dimension), isComparable: false })}
      </div>
      ${questionProblem(question)}
      ${
        data !== null &&
        section(
          {
            id: 'list',
            title: html`${LISTS[dimension].tab}${
              data.list.since !== null && html` <small>since ${format.day(data.list.since)}</small>`
            }`,
          },
          isToCome(data.trend)
            ? stillToCome()
            : data.list.rows.length === 0
              ? html`<p class="empty">No views on these days.</p>`
              : html`${valuesTable({ question, path: parent }, data.list, Math.max(1, data.mostViews))}
                  <div class="card-foot">
                    ${paging({ question, pages: Math.ceil(data.list.total / VALUES_PER_PAGE), path, of: LISTS[dimension].tab.toLowerCase() })}
                    ${csvLink(toAddress(`${path}/values.csv`, question), LISTS[dimension].tab.toLowerCase())}
                  </div>`,
        )
      }`,
  )
}
