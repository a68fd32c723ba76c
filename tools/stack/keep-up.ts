import { setTimeout as sleep } from 'node:timers/promises'

/** A process that has to run until everything ends. */
export type KeptUp = {
  name: string
  readonly pid: number
  /** The path of its log. */
  log: string
  /** Settles when the process that runs now has ended, with the reason: `exit code 1`, `SIGKILL`. */
  untilEnded(): Promise<string>
  startAgain(): Promise<void>
  /** The last lines of its log. */
  logTail(): Promise<string>
}

/**
 * Restarts the process `seconds` after each unexpected end, and reports it. Fulfilled when the signal is aborted.
 * @throws {Error} when it cannot be started again
 */
export async function keepUp(one: KeptUp, seconds: number, signal: AbortSignal): Promise<void> {
  for (;;) {
    const why = await one.untilEnded()
    if (signal.aborted) return
    console.error(
      `${one.name} has ended (${why}). The rest goes on; ${one.name} is restarted in ${seconds} s. Its log: ${one.log}`,
    )
    // After a kill or an orderly end, its log has nothing to explain.
    if (/^exit code [^0]/.test(why)) console.error(await one.logTail())
    // Rejects when the signal is aborted; the next line checks that.
    await sleep(seconds * 1_000, undefined, { signal }).catch(() => {})
    if (signal.aborted) return
    try {
      await one.startAgain()
    } catch (error) {
      // When everything ends, the process that was just starting ends too.
      if (signal.aborted) return
      const { message } = error as Error
      throw new Error(`${one.name} could not be restarted. ${message}`, { cause: error })
    }
    console.log(`${one.name} is up again, as process ${one.pid}.`)
  }
}
