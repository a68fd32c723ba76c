/** The posts, one file each in ../posts: a comment with `name: value` lines, then the text as HTML. */

import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { AUTHORS, type Person } from './people.ts'

export interface Post {
  /** A UUID: the post's id in analytics. */
  id: string
  slug: string
  title: string
  author: Person
  topic: string
  summary: string
  publishedAt: Date
  /** Reading time. */
  minutes: number
  /** Trusted HTML, inserted without escaping. */
  body: string
}

const FOLDER = join(import.meta.dirname, '../posts')
const DAY_MS = 86_400_000
const WORDS_PER_MINUTE = 220

/**
 * All posts, newest first. Their dates count back from `sampleDay`, so that the sample does not look abandoned.
 *
 * @param sampleDay `YYYY-MM-DD`
 * @throws {Error} with the file and what it lacks
 */
export function loadPosts(sampleDay: string): Post[] {
  return readdirSync(FOLDER)
    .filter(file => file.endsWith('.html'))
    .map(file => readPost(file, Date.parse(`${sampleDay}T00:00:00Z`)))
    .sort((a, b) => b.publishedAt.getTime() - a.publishedAt.getTime())
}

function readPost(file: string, sampleDayMs: number): Post {
  const text = readFileSync(join(FOLDER, file), 'utf8')
  const [, head = '', body = ''] = /^<!--\n(.*?)\n-->\n(.*)$/s.exec(text) ?? []
  const field = (name: string): string => {
    const value = new RegExp(`^${name}: (.+)$`, 'm').exec(head)?.[1]
    if (value === undefined) throw new Error(`posts/${file} has no ${name}`)
    return value
  }
  const author = AUTHORS.find(({ slug }) => slug === field('author'))
  if (author === undefined) throw new Error(`posts/${file} is by nobody in people.ts`)
  const id = field('id')
  return {
    id,
    slug: basename(file, '.html'),
    title: field('title'),
    author,
    topic: field('topic'),
    summary: field('summary'),
    publishedAt: new Date(sampleDayMs - Number(field('days_before')) * DAY_MS + timeOfDayMs(id)),
    minutes: Math.ceil(body.split(/\s+/).length / WORDS_PER_MINUTE),
    body,
  }
}

/** Between six and ten in the morning, fixed for each post. */
function timeOfDayMs(id: string): number {
  return (6 * 60 + (Number.parseInt(id.slice(0, 8), 16) % 240)) * 60_000
}
