/** npm and the terminal may both pass on the same Ctrl-C: what comes sooner than this is the same one. */
const SAME_SIGNAL_MS = 1_000

/**
 * Calls back at the first SIGINT, SIGTERM or SIGHUP, for an orderly end. Another one, by somebody who would not wait
 * for that, ends this process at once, and with it whatever it has started.
 */
export function onStopSignal(stop: (signal: NodeJS.Signals) => void): void {
  let firstAt: number | undefined
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (firstAt === undefined) {
        firstAt = performance.now()
        stop(signal)
      } else if (performance.now() - firstAt > SAME_SIGNAL_MS) {
        process.exit(1)
      }
    })
  }
}
