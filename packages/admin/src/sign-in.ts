/** Signing in and out, and the guard before everything else. */

import { proxyList, readerAddress } from '@postviews/client/src/index.ts'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Attempts } from './attempts.ts'
import type { Html } from './html.ts'
import { KnownBrowsers } from './known-browsers.ts'
import type { Log } from './log.ts'
import { passwordCheck, Sessions } from './sessions.ts'
import { MessagePage, SignInPage } from './sign-in-page.ts'

export interface SignInOptions {
  password: string
  sessionHours: number
  trustedProxies: readonly string[]
  /** The panel's, `/` or `/stats/`. */
  root: string
  html: Html
  log: Log
}

const MAX_PASSWORD_CHARACTERS = 1_000
const YEAR_SECONDS = 31_536_000

/**
 * Adds `/sign-in` and `/sign-out`. Needs the plugins for cookies and forms.
 *
 * @returns a hook that lets only signed-in users through
 */
export function signIn(
  app: FastifyInstance,
  { password, sessionHours, trustedProxies, root, html, log }: SignInOptions,
) {
  const sessions = new Sessions({ hours: sessionHours })
  const isPassword = passwordCheck(password)
  const attempts = new Attempts()
  const browsers = new KnownBrowsers(password)
  const proxies = proxyList(trustedProxies)
  const addressOf = (path: string) => root + path.slice(1)

  const page = (reply: FastifyReply, next: string, problem: string | null) =>
    reply
      .type('text/html; charset=utf-8')
      .send(html.plainPage('Sign in', SignInPage({ root, next, problem })))

  app.get('/sign-in', (request, reply) => {
    const { next } = request.query as Record<string, unknown>
    return page(reply, localPath(next), null)
  })

  app.post('/sign-in', { preHandler: sameSite }, async (request, reply) => {
    const { password: given, next } = (request.body ?? {}) as Record<string, unknown>
    const path = localPath(next)
    const cookies = cookiesOf(request, root)
    const browser = request.cookies[cookies.browser]
    const asker = { address: readerAddress(request.raw, proxies), browser: browsers.nameOf(browser) }
    const seconds = attempts.waitSeconds(asker)
    if (seconds > 0) {
      log.warn({ reason: 'too_many' }, 'sign_in.refused')
      reply.code(429).header('Retry-After', String(seconds))
      const minutes = Math.ceil(seconds / 60)
      return page(reply, path, `Too many attempts. Try again in ${minutes} min.`)
    }
    if (typeof given !== 'string' || given.length > MAX_PASSWORD_CHARACTERS || !isPassword(given)) {
      attempts.failed(asker)
      log.warn({ reason: 'wrong_password' }, 'sign_in.refused')
      return page(reply.code(401), path, 'Wrong password.')
    }
    // Ends any earlier session, so that nobody continues in one that somebody else gave them (session fixation).
    sessions.end(request.cookies[cookies.session])
    reply.setCookie(cookies.session, sessions.begin(), { ...cookies.options, maxAge: sessionHours * 3_600 })
    const token = browser !== undefined && asker.browser !== null ? browser : browsers.token()
    reply.setCookie(cookies.browser, token, { ...cookies.options, maxAge: YEAR_SECONDS })
    log.info('sign_in.done')
    return reply.redirect(addressOf(path), 303)
  })

  app.post('/sign-out', { preHandler: sameSite }, async (request, reply) => {
    const cookies = cookiesOf(request, root)
    sessions.end(request.cookies[cookies.session])
    return reply.clearCookie(cookies.session, cookies.options).redirect(addressOf('/sign-in'), 303)
  })

  /** Refuses forms of other sites. SameSite keeps the session from them; this keeps them from signing in. */
  async function sameSite(request: FastifyRequest, reply: FastifyReply) {
    const { 'sec-fetch-site': site, origin } = request.headers
    const isOwn =
      site === undefined
        ? origin === undefined || URL.parse(origin)?.host === request.host
        : site === 'same-origin'
    if (isOwn) return
    const text = 'This form was sent from another site and was ignored.'
    return reply
      .code(403)
      .type('text/html; charset=utf-8')
      .send(html.plainPage('Refused', MessagePage({ root, title: 'Refused', text })))
  }

  return async function guard(request: FastifyRequest, reply: FastifyReply) {
    if (sessions.has(request.cookies[cookiesOf(request, root).session])) return
    const wantsPage = request.headers.accept?.includes('text/html') ?? false
    if (!wantsPage) return reply.code(401).send({ error: 'sign in first' })
    // If a browser follows a link from another site, it does not send the session, which is SameSite=Strict.
    // This page asks again by itself, from here, in case there is one.
    if (request.headers['sec-fetch-site'] === 'cross-site') {
      return reply
        .type('text/html; charset=utf-8')
        .send('<!doctype html><meta http-equiv="refresh" content="0">')
    }
    return reply.redirect(addressOf(`/sign-in?${new URLSearchParams({ next: request.url })}`), 303)
  }
}

/**
 * `__Host-` keeps a neighbouring host from setting the cookie; browsers allow it only over TLS, and for a whole host.
 * Below a path of its own, the panel limits its cookies to that path instead, away from what else is on the host.
 */
function cookiesOf({ protocol }: FastifyRequest, root: string) {
  const secure = protocol === 'https'
  const prefix = !secure ? '' : root === '/' ? '__Host-' : '__Secure-'
  return {
    session: `${prefix}panel_session`,
    browser: `${prefix}panel_browser`,
    options: {
      path: root === '/' ? '/' : root.slice(0, -1),
      httpOnly: true,
      sameSite: 'strict',
      secure,
    } as const,
  }
}

/** Where to go after signing in: a path of this panel, including its root, whatever a link says. */
export function localPath(next: unknown): string {
  const here = 'http://panel.invalid'
  const url = typeof next === 'string' && next.startsWith('/') ? URL.parse(next, here) : null
  if (url === null || url.origin !== here || url.pathname.startsWith('//')) return '/'
  return url.pathname + url.search
}
