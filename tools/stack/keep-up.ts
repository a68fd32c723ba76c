import { setTimeout as sleep } from 'node:timers/promises'

/** A process that is to be up until all of it ends. */
export type KeptUp = {
  name: string
  readonly pid: number
  /** Where its log is. */
  log: string
  /** Settles when the process that runs now has ended, with the reason: `exit code 1`, `SIGKILL`. */
  untilEnded(): Promise<string>
  startAgain(): Promise<void>
  /** The last lines of its log. */
  logTail(): Promise<string>
}

/**
 * Starts it again, `seconds` after each time that it has ended by itself, and says so. Fulfilled when the signal comes.
 * @throws {Error} when it cannot be started again
 */
export async function keepUp(one: KeptUp, seconds: number, signal: AbortSignal): Promise<void> {
  for (;;) {
    const why = await one.untilEnded()
    if (signal.aborted) return
    console.error(
      `${one.name} has ended (${why}). The rest goes on; it is started again in ${seconds} s. Its log: ${one.log}`,
    )
    // Ended by somebody's hand, it has nothing to tell.
    if (/^exit code [^0]/.test(why)) console.error(await one.logTail())
    // Rejects when the signal comes, which the next line sees.
    await sleep(seconds * 1_000, undefined, { signal }).catch(() => {})
    if (signal.aborted) return
    try {
      await one.startAgain()
    } catch (error) {
      // Whoever ends everything ends what was starting as well.
      if (signal.aborted) return
      const { message } = error as Error
      throw new Error(`${one.name} could not be started again. ${message}`, { cause: error })
    }
    console.log(`${one.name} is up again, as process ${one.pid}.`)
  }
}
