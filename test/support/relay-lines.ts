/** A raw client of the relay's socket, like a script: it sends lines and gets answers. */

import { connect, type Socket } from 'node:net'
import { until } from './until.ts'

export interface RelayLines {
  /** All answers so far, one per line. */
  readonly answers: readonly string[]
  /** The relay, or this client, has closed the connection. */
  readonly isClosed: boolean
  /** Whether the kernel took all of the last write: false while the relay does not read. */
  readonly isTaken: boolean
  /** Writes these bytes only: without a line feed, that is half a line. */
  write(bytes: string | Buffer): void
  /** Writes the lines and returns their answers; fewer if the connection ends first. */
  ask(lines: readonly string[], deadlineMs?: number): Promise<string[]>
  /** Stops reading, so that answers pile up. */
  pause(): void
  resume(): void
  /** Half-closes, as a shell's pipe does. */
  end(): void
  destroy(): void
}

/** @throws {Error} when nothing listens */
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
  // 'close' follows. The relay's end is what these tests are about.
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

/** Sends lines on a new connection and returns their answers. */
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
