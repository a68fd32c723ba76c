/** Who is signed in: a cookie with a person's number and an end, signed, so that nobody can make one up. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Person, personById } from './people.ts'

const COOKIE = 'session'
const SESSION_SECONDS = 30 * 86_400

export function signIn(reply: FastifyReply, person: Person): void {
  const endsAt = Math.floor(Date.now() / 1_000) + SESSION_SECONDS
  reply.setCookie(COOKIE, `${person.id}.${endsAt}`, {
    signed: true,
    httpOnly: true,
    sameSite: 'lax',
    secure: 'auto',
    path: '/',
    maxAge: SESSION_SECONDS,
  })
}

export function signOut(reply: FastifyReply): void {
  reply.clearCookie(COOKIE, { path: '/' })
}

/** The person who is signed in; null for anybody else, and for a cookie that we have not signed or that is over. */
export function readerOf(request: FastifyRequest): Person | null {
  const cookie = request.cookies[COOKIE]
  if (cookie === undefined) return null
  const { valid, value } = request.unsignCookie(cookie)
  if (!valid) return null
  const [id, endsAt] = value.split('.').map(Number)
  if (id === undefined || endsAt === undefined || !(endsAt * 1_000 > Date.now())) return null
  return personById(id) ?? null
}
