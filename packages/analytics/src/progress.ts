/** Progress of long work: a bar on a terminal, nothing where nobody watches. */

import { Presets, SingleBar } from 'cli-progress'
import type { Progress } from './store/store.ts'

export interface ProgressBar {
  progress: Progress
  /** Leaves the bar as it stands. Call it before printing anything. */
  end(): void
}

/** A bar for each step, one after the other, on stderr: stdout stays for what is asked for. */
export function createProgressBar(stream: NodeJS.WriteStream = process.stderr): ProgressBar {
  let bar: SingleBar | undefined
  let current = ''
  const end = () => {
    bar?.stop()
    bar = undefined
    current = ''
  }
  const progress: Progress = (step, done, total) => {
    if (!stream.isTTY) return
    if (step !== current) {
      end()
      current = step
      bar = new SingleBar(
        { stream, format: `${step.padEnd(10)} {bar} {percentage}% | {value}/{total} | {eta_formatted} left` },
        Presets.shades_classic,
      )
      bar.start(total, done)
    }
    bar?.setTotal(total)
    bar?.update(done)
  }
  return { progress, end }
}
