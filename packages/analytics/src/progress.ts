/** Progress of long work: a bar on a terminal, nothing where nobody watches. */

import { Presets, SingleBar } from 'cli-progress'
import type { Progress } from './store/store.ts'

export interface ProgressBar {
  progress: Progress
  /** Removes the bar. Call it before printing anything. */
  end(): void
}

// The widest line still fits into 80 columns.
const BAR_CHARACTERS = 24

/** A bar for each step, one after the other, on stderr: stdout is for results. */
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
        {
          stream,
          format: `${step.padEnd(9)} {bar} {percentage}% | {value}/{total} | {eta_formatted}`,
          formatTime: timeLeft,
          barsize: BAR_CHARACTERS,
          clearOnComplete: true,
          // False would switch line wrapping off, and after Ctrl-C the terminal would stay like that.
          linewrap: true,
        },
        Presets.shades_classic,
      )
      bar.start(total, done)
    }
    bar?.setTotal(total)
    bar?.update(done)
  }
  return { progress, end }
}

/** The time left, as `1 h 5 min`, `2 min` or `9 s`; empty while unknown. */
function timeLeft(seconds: number): string {
  if (!Number.isFinite(seconds)) return ''
  if (seconds < 60) return `${seconds} s left`
  const minutes = Math.round(seconds / 60)
  return minutes < 60 ? `${minutes} min left` : `${Math.floor(minutes / 60)} h ${minutes % 60} min left`
}
