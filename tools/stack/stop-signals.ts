/** npm and the terminal may both deliver the same Ctrl-C: a second signal within this time counts as the same. */
const SAME_SIGNAL_MS = 1_000

/**
 * Calls back at the first SIGINT, SIGTERM or SIGHUP, for an orderly end. A second signal ends this process at once, and with it
 * everything that it has started.
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
