/**
 * Sessions of signed-in people: the cookie has a random token, and the data are kept here, so signing out also ends copies of the
 * cookie. A restart ends all sessions here; a real blog keeps them in its database.
 */

import { hash, randomBytes } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Person, personById } from './people.ts'

const COOKIE = 'session'
const SESSION_SECONDS = 30 * 86_400
/** Beyond this number, the oldest session ends. */
const MAX_SESSIONS = 10_000

export interface Sessions {
  signIn(request: FastifyRequest, reply: FastifyReply, person: Person): void
  signOut(request: FastifyRequest, reply: FastifyReply): void
  /** The signed-in person; null for anyone else. */
  readerOf(request: FastifyRequest): Person | null
}

export function createSessions(): Sessions {
  /** Sessions by token digest, oldest first. The digests cannot be used to sign in. */
  const sessions = new Map<string, { person: number; endsAt: number }>()

  function end(request: FastifyRequest): void {
    const token = request.cookies[COOKIE]
    if (token !== undefined) sessions.delete(digest(token))
  }

  return {
    signIn(request, reply, person) {
      // Prevents session fixation: nobody continues in a session that somebody else started.
      end(request)
      const token = randomBytes(32).toString('base64url')
      sessions.set(digest(token), { person: person.id, endsAt: Date.now() + SESSION_SECONDS * 1_000 })
      const [oldest] = sessions.keys()
      if (sessions.size > MAX_SESSIONS && oldest !== undefined) sessions.delete(oldest)
      reply.setCookie(COOKIE, token, {
        httpOnly: true,
        sameSite: 'lax',
        secure: 'auto',
        path: '/',
        maxAge: SESSION_SECONDS,
      })
    },

    signOut(request, reply) {
      end(request)
      reply.clearCookie(COOKIE, { path: '/' })
    },

    readerOf(request) {
      const token = request.cookies[COOKIE]
      const session = token === undefined ? undefined : sessions.get(digest(token))
      if (session === undefined || session.endsAt <= Date.now()) return null
      return personById(session.person) ?? null
    },
  }
}

function digest(token: string): string {
  return hash('sha256', token, 'base64url')
}
