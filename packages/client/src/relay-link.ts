/** The sender's side of the protocol of a relay's socket: one event a line, one answer an event, in the same order. */

import { stat } from 'node:fs/promises'
import { connect } from 'node:net'
import { describe } from './log.ts'

/** `ok`: the event is on the relay's disk. Otherwise nothing of it is, and the code says why. */
export type RelayAnswer = 'ok' | { refused: string }

const REFUSAL = /^refused: ([a-z_]{1,50})(?::|$)/
const MAX_ANSWER_CHARACTERS = 1_000

/** One connection to a relay. It does not come back: open another. */
export interface RelayLink {
  /** One or more lines, each with its line feed. */
  send(lines: string): void
  /** Ends the connection at once; no callback is called afterwards. */
  end(): void
}

export interface RelayLinkEvents {
  onOpen(): void
  onAnswers(answers: RelayAnswer[]): void
  /** The connection has ended, or could not be opened. Called once. */
  onLost(error: Error): void
}

export function openRelayLink(path: string, events: RelayLinkEvents): RelayLink {
  const socket = connect({ path })
  let isOver = false
  let unread = ''
  let cause: NodeJS.ErrnoException | undefined
  const end = () => {
    isOver = true
    socket.destroy()
  }
  const lose = (error: Error) => {
    if (isOver) return
    end()
    events.onLost(error)
  }
  socket.setEncoding('utf8')
  socket.on('connect', () => {
    if (!isOver) events.onOpen()
  })
  socket.on('data', (text: unknown) => {
    if (isOver) return
    const lines = (unread + String(text)).split('\n')
    unread = lines.pop() ?? ''
    const answers = lines.map(readAnswer)
    const strange = unread.length > MAX_ANSWER_CHARACTERS ? answers.length : answers.indexOf(undefined)
    const known = strange === -1 ? answers : answers.slice(0, strange)
    if (known.length > 0) events.onAnswers(known.filter(answer => answer !== undefined))
    // The answer is not quoted: it may repeat the event.
    if (strange !== -1) lose(new Error(`what listens at ${path} does not answer like a relay`))
  })
  socket.on('end', () => lose(new Error(`the relay at ${path} ended the connection`)))
  socket.on('error', error => {
    cause = error
  })
  socket.on('close', () => {
    void whyLost(path, cause).then(why => lose(new Error(why)))
  })
  return {
    send: lines => {
      socket.write(lines)
    },
    end,
  }
}

/** Undefined if no relay answers this. */
function readAnswer(line: string): RelayAnswer | undefined {
  const answer = line.endsWith('\r') ? line.slice(0, -1) : line
  if (answer === 'ok') return 'ok'
  const refused = REFUSAL.exec(answer)?.[1]
  return refused === undefined ? undefined : { refused }
}

async function whyLost(path: string, cause: NodeJS.ErrnoException | undefined): Promise<string> {
  switch (cause?.code) {
    case undefined:
      return `the connection to the relay at ${path} ended`
    case 'ENOENT':
      return `there is no relay at ${path}: no such file`
    case 'EACCES':
    case 'EPERM':
      return `this user may not use the relay at ${path}: permission denied`
    case 'ECONNREFUSED':
    case 'ENOTSOCK':
      return (await isSocket(path)) ? `no relay listens at ${path}` : `${path} is not a socket`
    default:
      return `the relay at ${path}: ${describe(cause)}`
  }
}

async function isSocket(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isSocket()
  } catch {
    // It is gone, most likely because a relay has removed its socket.
    return true
  }
}
