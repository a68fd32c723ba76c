/**
 * Where the logs of our programs go: to stdout, and never in the way of anything else. A pipe that nobody reads takes
 * 64 KB and then nothing; whoever waited for it would stand still with it.
 */

import { fstatSync, write, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { isatty } from 'node:tty'
import { endBy } from './ending.ts'

const STDOUT = 1
/** More than a burst of lines ever is, and little beside the rest of the process. */
const MAX_WAITING_BYTES = 1_048_576
const BUSY_RETRY_MS = 100
const LEAVE_AFTER_MS = 1_000

/** Calls back once, with an error where the text, or a part of it, could not be written. */
type Write = (text: string, done: (error?: Error | null) => void) => void

export interface LogLinesOptions {
  /** So many lines were dropped, for want of room or because they could not be written. */
  onDropped?(lines: number): void
  /** Lines are taken again: so many were dropped before. */
  onRoom?(dropped: number): void
}

/** Takes lines at once, writes them as fast as they are read, and drops what comes while 1 MiB waits. */
export class LogLines {
  readonly #options: LogLinesOptions
  readonly #write: Write
  #waiting: string[] = []
  #waitingBytes = 0
  #isWriting = false
  #dropped = 0

  constructor(options: LogLinesOptions = {}, write: Write = writeStdout()) {
    this.#options = options
    this.#write = write
  }

  /** Takes a line with its end, as pino makes it. */
  write(line: string): void {
    const bytes = Buffer.byteLength(line)
    if (this.#waitingBytes + bytes > MAX_WAITING_BYTES) {
      this.#drop(1)
      return
    }
    this.#waiting.push(line)
    this.#waitingBytes += bytes
    if (!this.#isWriting) this.#writeWaiting()
  }

  /** Ends the process, after a moment in which what was logged last may be read. */
  async leave(exitCode: number): Promise<never> {
    const deadline = performance.now() + LEAVE_AFTER_MS
    while (this.#isWriting && performance.now() < deadline) await sleep(10)
    // A thread still waits for the terminal, and `process.exit` would wait for the thread.
    if (this.#isWriting && isatty(STDOUT)) endBy('SIGTERM')
    process.exit(exitCode)
  }

  #writeWaiting(): void {
    const lines = this.#waiting
    this.#waiting = []
    this.#isWriting = true
    this.#write(lines.join(''), error => {
      this.#isWriting = false
      this.#waitingBytes -= lines.reduce((bytes, line) => bytes + Buffer.byteLength(line), 0)
      if (error) this.#drop(lines.length)
      else if (this.#dropped > 0) this.#tellDropped()
      if (this.#waiting.length > 0 && !this.#isWriting) this.#writeWaiting()
    })
  }

  #drop(lines: number): void {
    this.#dropped += lines
    this.#options.onDropped?.(lines)
  }

  #tellDropped(): void {
    const dropped = this.#dropped
    this.#dropped = 0
    this.#options.onRoom?.(dropped)
  }
}

function writeStdout(): Write {
  if (isatty(STDOUT)) return writeTerminal
  const stat = fstatSync(STDOUT)
  if (stat.isFIFO() || stat.isSocket()) return writePipe()
  return writeFile
}

// Never waits, on Linux: what the pipe does not take, libuv keeps.
function writePipe(): Write {
  // An error is told to each write as well.
  if (process.stdout.listenerCount('error') === 0) process.stdout.on('error', () => {})
  return (text, done) => process.stdout.write(text, done)
}

// Stopped by Ctrl-S, or at the end of a connection that has died, it takes nothing; a thread waits for it then.
const writeTerminal: Write = (text, done) => {
  const bytes = Buffer.from(text)
  const next = (from: number) =>
    write(STDOUT, bytes, from, bytes.length - from, null, (error, written) => {
      if (error?.code === 'EAGAIN') setTimeout(next, BUSY_RETRY_MS, from).unref()
      else if (error) done(error)
      else if (from + written < bytes.length) next(from + written)
      else done()
    })
  next(0)
}

// At once, so that the last line before a crash is there.
const writeFile: Write = (text, done) => {
  const bytes = Buffer.from(text)
  let error: Error | null = null
  try {
    for (let from = 0; from < bytes.length; ) from += writeSync(STDOUT, bytes, from)
  } catch (cause) {
    error = cause as Error
  }
  done(error)
}
