/** Signing in and out, and the guard before everything else. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Html } from './html.ts'
import type { Log } from './log.ts'
import { passwordCheck, Sessions } from './sessions.ts'
import { MessagePage, SignInPage } from './sign-in-page.ts'

export interface SignInOptions {
  password: string
  sessionHours: number
  html: Html
  log: Log
}

/** Attempts with a wrong or right password: of one address (of IPv6, one /64), and of all together. */
const ATTEMPTS = { perAddress: 10, inAll: 100, timeWindow: '10 minutes' }
const MAX_PASSWORD_CHARACTERS = 1_000

/**
 * Adds `/sign-in` and `/sign-out`. Needs the plugins for cookies, forms and limits.
 *
 * @returns a hook that lets nobody through who is not signed in
 */
export function signIn(app: FastifyInstance, { password, sessionHours, html, log }: SignInOptions) {
  const sessions = new Sessions({ hours: sessionHours })
  const isPassword = passwordCheck(password)
  const limits = [
    app.createRateLimit({ max: ATTEMPTS.perAddress, timeWindow: ATTEMPTS.timeWindow }),
    app.createRateLimit({ max: ATTEMPTS.inAll, timeWindow: ATTEMPTS.timeWindow, keyGenerator: () => 'all' }),
  ]

  const page = (reply: FastifyReply, next: string, problem: string | null) =>
    reply.type('text/html; charset=utf-8').send(html.plainPage('Sign in', SignInPage({ next, problem })))

  /** Seconds to wait before the next attempt; 0 for none. */
  async function waitSeconds(request: FastifyRequest): Promise<number> {
    let seconds = 0
    for (const limit of limits) {
      const used = await limit(request)
      if (!used.isAllowed && used.isExceeded) seconds = Math.max(seconds, used.ttlInSeconds)
    }
    return seconds
  }

  app.get('/sign-in', (request, reply) => {
    const { next } = request.query as Record<string, unknown>
    return page(reply, localPath(next), null)
  })

  app.post('/sign-in', { preHandler: sameSite }, async (request, reply) => {
    const { password: given, next } = (request.body ?? {}) as Record<string, unknown>
    const path = localPath(next)
    const seconds = await waitSeconds(request)
    if (seconds > 0) {
      log.warn({ reason: 'too_many' }, 'sign_in.refused')
      reply.code(429).header('Retry-After', String(seconds))
      const minutes = Math.ceil(seconds / 60)
      return page(reply, path, `Too many attempts. Try again in ${minutes} min.`)
    }
    if (typeof given !== 'string' || given.length > MAX_PASSWORD_CHARACTERS || !isPassword(given)) {
      log.warn({ reason: 'wrong_password' }, 'sign_in.refused')
      return page(reply.code(401), path, 'That is not the password.')
    }
    const cookie = cookieOf(request)
    // Whatever session there was: nobody shall go on in one that somebody else gave them.
    sessions.end(request.cookies[cookie.name])
    reply.setCookie(cookie.name, sessions.begin(), { ...cookie.options, maxAge: sessionHours * 3_600 })
    log.info('sign_in.done')
    return reply.redirect(path, 303)
  })

  app.post('/sign-out', { preHandler: sameSite }, async (request, reply) => {
    const cookie = cookieOf(request)
    sessions.end(request.cookies[cookie.name])
    return reply.clearCookie(cookie.name, cookie.options).redirect('/sign-in', 303)
  })

  /** A form of another site may not post here. SameSite keeps the session from it, this keeps it from signing in. */
  async function sameSite(request: FastifyRequest, reply: FastifyReply) {
    const { 'sec-fetch-site': site, origin } = request.headers
    const isOwn =
      site === undefined
        ? origin === undefined || URL.parse(origin)?.host === request.host
        : site === 'same-origin'
    if (isOwn) return
    const text = 'This form was sent from another site, so nothing was done.'
    return reply
      .code(403)
      .type('text/html; charset=utf-8')
      .send(html.plainPage('Refused', MessagePage({ title: 'Refused', text })))
  }

  return async function guard(request: FastifyRequest, reply: FastifyReply) {
    if (sessions.has(request.cookies[cookieOf(request).name])) return
    const wantsPage = request.headers.accept?.includes('text/html') ?? false
    if (!wantsPage) return reply.code(401).send({ error: 'sign in first' })
    // Who follows a link from another site comes without the session, which is SameSite=Strict, and may well have
    // one: this page asks again by itself, from here.
    if (request.headers['sec-fetch-site'] === 'cross-site') {
      return reply
        .type('text/html; charset=utf-8')
        .send('<!doctype html><meta http-equiv="refresh" content="0">')
    }
    return reply.redirect(`/sign-in?${new URLSearchParams({ next: request.url })}`, 303)
  }
}

/** `__Host-` keeps the cookie from being set by a neighbouring host; browsers allow it over TLS alone. */
function cookieOf({ protocol }: FastifyRequest) {
  const secure = protocol === 'https'
  return {
    name: secure ? '__Host-panel_session' : 'panel_session',
    options: { path: '/', httpOnly: true, sameSite: 'strict', secure } as const,
  }
}

/** Where to go after signing in: a path of this panel, whatever a link says. */
export function localPath(next: unknown): string {
  const here = 'http://panel.invalid'
  const url = typeof next === 'string' && next.startsWith('/') ? URL.parse(next, here) : null
  if (url === null || url.origin !== here || url.pathname.startsWith('//')) return '/'
  return url.pathname + url.search
}
