/** A client of the relay's socket, as raw as a script's: lines go in, answers come out. */

import { connect, type Socket } from 'node:net'
import { until } from './until.ts'

export interface RelayLines {
  /** All that came back so far, a line each. */
  readonly answers: readonly string[]
  /** The relay, or we, have ended it. */
  readonly isClosed: boolean
  /** Whether the kernel took the last of it at once: false while the relay reads no more. */
  readonly isTaken: boolean
  /** Writes just this: a line without its end is half a line. */
  write(bytes: string | Buffer): void
  /** Writes the lines, and gives their answers; fewer than there are lines when the connection ends first. */
  ask(lines: readonly string[], deadlineMs?: number): Promise<string[]>
  /** Reads nothing more, and so lets answers pile up. */
  pause(): void
  resume(): void
  /** Ends our side, as a shell's pipe does. */
  end(): void
  destroy(): void
}

/** @throws {Error} where nobody listens */
export async function connectLines(socketPath: string): Promise<RelayLines> {
  const socket = await connected(socketPath)
  const answers: string[] = []
  let rest = ''
  let isClosed = false
  let isTaken = true
  socket.setEncoding('utf8').on('data', text => {
    const lines = (rest + text).split('\n')
    rest = lines.pop()!
    answers.push(...lines)
  })
  // 'close' follows, and that the relay goes is what these tests are for.
  socket.on('error', () => {})
  socket.on('drain', () => {
    isTaken = true
  })
  // We may half-close and still read answers. Once the relay closes its side, no more answers follow.
  socket.on('end', () => socket.destroy())
  socket.on('close', () => {
    isClosed = true
  })
  const write = (bytes: string | Buffer) => {
    if (!socket.destroyed) isTaken = socket.write(bytes)
  }
  return {
    answers,
    get isClosed() {
      return isClosed
    },
    get isTaken() {
      return isTaken
    },
    write,
    async ask(lines, deadlineMs) {
      const before = answers.length
      const upTo = before + lines.length
      write(lines.map(line => `${line}\n`).join(''))
      await until('all is answered', () => isClosed || answers.length >= upTo, deadlineMs)
      return answers.slice(before, upTo)
    },
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    end: () => void socket.end(),
    destroy: () => void socket.destroy(),
  }
}

/** Asks once, on a connection of its own. */
export async function askOnce(socketPath: string, ...lines: string[]): Promise<string[]> {
  const relay = await connectLines(socketPath)
  try {
    return await relay.ask(lines)
  } finally {
    relay.destroy()
  }
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path, allowHalfOpen: true })
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
    socket.once('error', reject)
  })
}
