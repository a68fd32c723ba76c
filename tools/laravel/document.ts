/** The snippets of docs/laravel.md. They are put into an application, so that the tests try the document itself. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const DOCUMENT = join(import.meta.dirname, '../../docs/laravel.md')

export interface Snippet {
  /** The heading above it. */
  section: string
  /** `php`, `sh`, `dotenv`, `blade`. */
  language: string
  /** The file that a comment in its first line names: `app/Models/Post.php`. */
  file: string | null
  /** Without that line. */
  text: string
}

const BLOCK = /^(?:#{1,6} (?<heading>[^\n]+)|```(?<language>\w+)\n(?<text>.*?)^```)$/gms
const NAMED = /^(?:\/\/|#|\{\{--) (\S*[./]\S+?)(?: --\}\})?\n+/

/** In the order of the document. */
export function snippetsOf(document: string = readFileSync(DOCUMENT, 'utf8')): Snippet[] {
  const snippets: Snippet[] = []
  let section = ''
  for (const { groups } of document.matchAll(BLOCK)) {
    const { heading, language, text } = groups!
    if (heading !== undefined) section = heading
    if (language === undefined || text === undefined) continue
    const [line = '', file = null] = NAMED.exec(text) ?? []
    snippets.push({ section, language, file, text: text.slice(line.length) })
  }
  return snippets
}

/**
 * The file's content after applying the snippet: a fluent call, `->withMiddleware(…)`, replaces the same call; lines of `.env` are
 * added; any other snippet is the whole file.
 */
export function withSnippet(before: string, { file, text }: Pick<Snippet, 'file' | 'text'>): string {
  if (file === '.env') return `${before.trimEnd()}\n${text}`
  const call = /^\s*->(\w+)\(/.exec(text)?.[1]
  if (call === undefined) return file?.endsWith('.blade.php') ? text : `<?php\n\n${text}`
  const same = new RegExp(`^ *->${call}\\(.*?^ {4}\\}\\)`, 'ms')
  if (!same.test(before)) throw new Error(`${file} has no ->${call}(…)`)
  return before.replace(same, () => text.trimEnd())
}
