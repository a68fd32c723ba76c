/** Pages that use packages/laravel/src/Publishing, run by plain PHP. */

import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import type { ViewEvent } from '@postviews/client/src/index.ts'
import { FIREFOX, POST } from './views.ts'

const run = promisify(execFile)
const PUBLISHERS = join(import.meta.dirname, '../publishers')
/** Connecting may take 0.5 s and a confirm 1 s, twice; the rest is for the end of the process. */
export const LONGEST_FLUSH_MS = 4_000
/** A page that takes less has waited for nothing: the shortest time limit there is, for connecting, is 0.5 s. */
export const WAITED_FOR_NOTHING_MS = 450

export interface Run {
  pages: { track_ms: number; flush_ms: number; is_sent: boolean }[]
  log: [event: string, detail: string][]
  /** The log output of the process's end. */
  lastWords: string
}

export interface Pages {
  pages: ViewEvent[][]
  rest_folder?: string
  rest_seconds?: number
  /** Between two pages. */
  pause_ms?: number
  idle_seconds?: number
}

/** One PHP process that serves the pages, one after the other. */
export async function showPages(amqpUrl: string, pages: Pages): Promise<Run> {
  const { stdout, stderr } = await php(['analytics-api.php'], JSON.stringify(pages), { AMQP_URL: amqpUrl })
  return { ...JSON.parse(stdout), lastWords: stderr }
}

/** Runs PHP to its end. @throws when it fails */
export async function php(args: string[], input: string, settings: Record<string, string> = {}) {
  const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', ...settings }
  const running = run('php', args, { env, cwd: PUBLISHERS })
  running.child.stdin!.end(input)
  return running
}

/** The payload of the first article, and of the second. */
export const BY_ID: ViewEvent = { post_id: 42, user_id: null, ip: '203.0.113.7', user_agent: FIREFOX }
export const BY_UUID: ViewEvent = {
  post_uuid: POST,
  user_id: 7,
  ip: '2001:db8::7',
  user_agent: FIREFOX,
  referer: 'https://пример.example/статья',
  timestamp: '2026-11-20T23:59:59.000000Z',
}

export async function restFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-laravel-'))
  t.after(() => rm(folder, { recursive: true }))
  return folder
}

/** The files that record that a broker is away. */
export function restsIn(folder: string): string[] {
  return readdirSync(folder).filter(name => /^postviews-rest-\d+-[0-9a-f]{16}$/.test(name))
}

/** Accepts connections and sends nothing, like a broker that hangs. */
export async function startSilent(t: TestContext) {
  let taken = 0
  const server = createServer(socket => {
    taken++
    socket.on('error', () => {})
    t.after(() => socket.destroy())
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  return { url: `amqp://guest:hidden@127.0.0.1:${port}`, taken: () => taken }
}
