/** A page as the browser gets it. */

import { hash } from 'node:crypto'
import type { VNode } from 'preact'
import { renderToString } from 'preact-render-to-string'
import type { Assets } from './assets.ts'
import { App, titleOf } from './pages/app.ts'
import type { Answer } from './pages/model.ts'

export interface Html {
  /** A page whose numbers refresh by themselves. */
  answerPage(answer: Answer): string
  /** A page that stays as it is. */
  plainPage(title: string, content: VNode): string
  /** Of the one inline script, for the Content-Security-Policy. */
  scriptHash: string
}

export function createHtml(assets: Assets): Html {
  const modules = [...assets.files.keys()].filter(path => /\.(ts|js)$/.test(path))
  const scripts = [
    `<script type="importmap">${assets.importMap}</script>`,
    ...modules.map(path => `<link rel="modulepreload" href="${assets.address(path)}">`),
    `<script type="module" src="${assets.address('browser/main.ts')}"></script>`,
  ].join('')

  const document = (title: string, head: string, body: string) =>
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escapeText(title)}</title>` +
    '<meta name="viewport" content="width=device-width, initial-scale=1">' +
    '<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex">' +
    `<link rel="icon" type="image/svg+xml" href="${assets.address('browser/icon.svg')}">` +
    `<link rel="stylesheet" href="${assets.address('browser/panel.css')}">` +
    `${head}</head><body>${body}</body></html>`

  return {
    answerPage: answer =>
      document(
        titleOf(answer),
        scripts,
        `<div id="app">${renderToString(App({ answer, draw: null }))}</div>` +
          `<script type="application/json" id="answer">${inScript(answer)}</script>`,
      ),
    plainPage: (title, content) => document(`${title} · postviews`, '', renderToString(content)),
    scriptHash: `'sha256-${hash('sha256', assets.importMap, 'base64')}'`,
  }
}

function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}

// A title that holds `</script>` must not end it.
function inScript(content: unknown): string {
  return JSON.stringify(content).replaceAll('<', '\\u003c')
}
