/** The posts with the most views. A thread keeps them in order; it is started when it is first needed. */

import { Worker } from 'node:worker_threads'
import { StoreMisplaced, StoreUnavailable } from '../failures.ts'
import type { RisingPosts } from '../store.ts'
import type { RankingPage, RankingQuestion, RisingRankingQuestion } from './ranking-cache.ts'
import type { RankingPlace, RankingReply, RankingRequest, RankingThreadData } from './rankings-thread.ts'

/** Bytes that rankings keep in memory by default. */
export const RANKING_BYTES = 268_435_456

/** A thread that takes longer to end is in a statement that does not end. */
const CLOSE_LIMIT_MS = 5_000
const CLOSED = 'the store is closed'

interface Waiting {
  resolve(answer: RankingPage | RisingPosts): void
  reject(error: Error): void
}

export class Rankings {
  readonly #place: () => Promise<RankingPlace>
  readonly #maxBytes: number
  #thread: Promise<RankingThread> | undefined
  #closing: Promise<void> | undefined

  /** @param place called whenever the thread is started. @throws {StoreUnavailable} */
  constructor(place: () => Promise<RankingPlace>, maxBytes = RANKING_BYTES) {
    this.#place = place
    this.#maxBytes = maxBytes
  }

  /** @throws {StoreUnavailable} */
  async page(question: RankingQuestion): Promise<RankingPage> {
    return (await this.#ask(question)) as RankingPage
  }

  /** @throws {StoreUnavailable} */
  async rising(question: RisingRankingQuestion): Promise<RisingPosts> {
    return (await this.#ask(question)) as RisingPosts
  }

  async #ask(question: RankingQuestion | RisingRankingQuestion): Promise<RankingPage | RisingPosts> {
    if (this.#closing !== undefined) throw new StoreUnavailable(CLOSED)
    this.#thread ??= this.#start()
    const thread = await this.#thread
    return thread.ask(question)
  }

  async #start(): Promise<RankingThread> {
    // If the thread died, or could not be started, the next question starts a new one.
    const forget = () => {
      this.#thread = undefined
    }
    try {
      return new RankingThread({ ...(await this.#place()), maxBytes: this.#maxBytes }, forget)
    } catch (error) {
      forget()
      throw error
    }
  }

  /** Ends all questions under way, and waits until nothing reads the database any more. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const thread = await this.#thread?.catch(() => undefined)
    await thread?.close()
  }
}

class RankingThread {
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  readonly #gone = Promise.withResolvers<void>()
  #lastId = 0
  #ended: Error | undefined

  constructor(workerData: RankingThreadData, onEnd: () => void) {
    this.#worker = new Worker(new URL('./rankings-thread.ts', import.meta.url), { workerData })
    this.#worker.on('message', (reply: RankingReply) => {
      const waiting = this.#waiting.get(reply.id)
      this.#waiting.delete(reply.id)
      if ('answer' in reply) waiting?.resolve(reply.answer)
      else waiting?.reject(errorOf(reply.error))
    })
    // Callers get the error only when the thread is gone: one that asks again at once starts a new thread, which the end of this
    // one must not affect.
    let cause: unknown
    this.#worker.on('error', error => {
      cause = error
    })
    this.#worker.on('exit', () => {
      onEnd()
      this.#end(new StoreUnavailable('the thread that ranks posts has died', { cause }))
      this.#gone.resolve()
    })
  }

  ask(question: RankingQuestion | RisingRankingQuestion): Promise<RankingPage | RisingPosts> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended)
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId
      this.#waiting.set(id, { resolve, reject })
      this.#worker.postMessage({ id, question } satisfies RankingRequest)
    })
  }

  async close(): Promise<void> {
    this.#end(new StoreUnavailable(CLOSED))
    this.#worker.postMessage({ id: 0, question: 'close' } satisfies RankingRequest)
    const timer = setTimeout(() => this.#worker.terminate(), CLOSE_LIMIT_MS)
    await this.#gone.promise
    clearTimeout(timer)
  }

  #end(error: Error): void {
    this.#ended ??= error
    for (const { reject } of this.#waiting.values()) reject(this.#ended)
    this.#waiting.clear()
  }
}

function errorOf({ isMisplaced, message }: { isMisplaced: boolean; message: string }): Error {
  return isMisplaced ? new StoreMisplaced(message) : new StoreUnavailable(message)
}
