/** A command's work: followed by a bar, ended by a signal, its outcome printed. */

import { endOnSignals } from '@postviews/client/src/ending.ts'
import { printable } from './printable.ts'
import { createProgressBar } from './progress.ts'
import type { Progress } from './store/store.ts'

export const INTERRUPTED = 'interrupted: run it again to continue'

export type Print = (line: string) => void

export interface Given {
  /** Shows how far the work is; throws an `Interrupted` after a signal, so that the work ends at its next step. */
  progress: Progress
  print: Print
  /** Aborted 3 s after the signal: nothing is to be waited for any more. */
  cut: AbortSignal
}

/** Does the work and prints what it returns, if anything. @throws {Interrupted} when a signal ended it, or nobody reads */
export async function untilSignal(work: (given: Given) => Promise<string>): Promise<void> {
  const bar = createProgressBar()
  const ending = endOnSignals({ onOverdue: () => console.error(`postviews: ${INTERRUPTED}`) })
  const print = (line: string) => {
    bar.end()
    console.log(printable(line))
  }
  const progress: Progress = (step, done, total) => {
    ending.signal.throwIfAborted()
    bar.progress(step, done, total)
  }
  process.stdout.on('error', ending.begin)
  try {
    const outcome = await work({ progress, print, cut: ending.cut })
    bar.end()
    if (outcome !== '') console.log(outcome)
  } catch (error) {
    // Whatever it was, once the end had begun: a connection that was cut, say.
    throw ending.signal.aborted ? ending.signal.reason : error
  } finally {
    bar.end()
    ending.finish()
  }
}
