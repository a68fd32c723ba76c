/** Runs a command's work: shows a progress bar, ends on a signal, prints the outcome. */

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
  /** Aborted 3 s after the signal: then the work must not wait for anything any more. */
  cut: AbortSignal
}

/** Does the work and prints what it returns, if anything. @throws {Interrupted} after a signal, or with stdout closed */
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
    // After a signal, any other error is a consequence of it, such as a connection that was cut.
    throw ending.signal.aborted ? ending.signal.reason : error
  } finally {
    bar.end()
    ending.finish()
  }
}
