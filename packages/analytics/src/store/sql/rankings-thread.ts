/** The thread that keeps rankings; see `ranking-cache.ts`. It is asked by `rankings.ts`. */

import { parentPort, workerData } from 'node:worker_threads'
import { StoreMisplaced } from '../failures.ts'
import type { RisingPosts } from '../store.ts'
import {
  RankingCache,
  type RankingPage,
  type RankingQuestion,
  type RankingSource,
  type RisingRankingQuestion,
} from './ranking-cache.ts'

/** How the thread reaches the database: a module that exports `openRankingSource`, and the argument for it. */
export interface RankingPlace {
  /** Its URL. */
  module: string
  /** Something that can be copied between threads. */
  options: unknown
}

export interface RankingThreadData extends RankingPlace {
  maxBytes: number
}

export interface RankingRequest {
  id: number
  question: RankingQuestion | RisingRankingQuestion | 'close'
}

export type RankingReply = { id: number } & (
  | { answer: RankingPage | RisingPosts }
  | { error: { isMisplaced: boolean; message: string } }
)

interface RankingModule {
  openRankingSource(options: unknown): RankingSource
}

const { module, options, maxBytes } = workerData as RankingThreadData
const { openRankingSource } = (await import(module)) as RankingModule
const source = openRankingSource(options)
const rankings = new RankingCache(source, maxBytes)
const port = parentPort!

port.on('message', async ({ id, question }: RankingRequest) => {
  if (question === 'close') {
    await source.close()
    port.close()
    return
  }
  let reply: RankingReply
  try {
    const answer = 'site' in question ? await rankings.rising(question) : await rankings.page(question)
    reply = { id, answer }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    reply = { id, error: { isMisplaced: error instanceof StoreMisplaced, message } }
  }
  port.postMessage(reply)
})
