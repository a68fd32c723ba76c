/** A Laravel application for a test, and the servers that run it. Everything is removed when the test ends. */

import { request } from 'node:http'
import type { TestContext } from 'node:test'
import { type AppOptions, createLaravelApp, type LaravelApp } from '../../tools/laravel/app.ts'
import {
  type FpmOptions,
  type LaravelServer,
  serveFpm,
  servePhp,
  serveWorkerLoop,
  workQueue,
} from '../../tools/laravel/servers.ts'
import { atEnd, hasPassed } from './at-end.ts'

export { inLaravelRoot } from '../../tools/laravel/root.ts'
export type { LaravelApp, LaravelServer }

const LAST_CHARACTERS = 3_000

export async function laravelApp(t: TestContext, options?: AppOptions): Promise<LaravelApp> {
  const app = await createLaravelApp(options)
  atEnd(t, () =>
    hasPassed(t)
      ? app.remove()
      : t.diagnostic(
          `the application is kept in ${app.folder}; its log: ${app.log().slice(-LAST_CHARACTERS)}`,
        ),
  )
  return app
}

/** The ways to serve pages, by their common names. */
export const WAYS = {
  'php -S': servePhp,
  'php-fpm with nginx': serveFpm,
  'a worker loop as Octane’s': serveWorkerLoop,
} satisfies Record<string, (app: LaravelApp) => Promise<LaravelServer>>

export async function serving(
  t: TestContext,
  app: LaravelApp,
  way: keyof typeof WAYS,
  options?: FpmOptions,
): Promise<LaravelServer> {
  const server = await WAYS[way](app, options)
  atEnd(t, () => server.stop())
  return server
}

export async function working(t: TestContext, app: LaravelApp, ...args: string[]): Promise<LaravelServer> {
  const server = await workQueue(app, ...args)
  atEnd(t, () => server.stop())
  return server
}

export interface Page {
  status: number
  text: string
  /** From sending the request to the last byte of the answer. */
  tookMs: number
}

/** Requests one page on a new connection, with only the given headers: `fetch` would send a purpose of its own. */
export function page(
  url: string,
  { method = 'GET', headers = {} }: { method?: string; headers?: Record<string, string> } = {},
): Promise<Page> {
  const since = performance.now()
  return new Promise((resolve, reject) => {
    const asked = request(url, { method, headers, agent: false, timeout: 60_000 }, answer => {
      let text = ''
      answer.setEncoding('utf8').on('data', part => {
        text += part
      })
      answer.once('error', reject)
      answer.once('end', () =>
        resolve({ status: answer.statusCode!, text, tookMs: performance.now() - since }),
      )
    })
    asked.once('timeout', () => asked.destroy(new Error(`${url} gave no answer`)))
    asked.once('error', reject)
    asked.end()
  })
}
