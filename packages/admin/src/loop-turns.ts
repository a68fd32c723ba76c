/**
 * Makes a function that resolves for one caller in each turn of the event loop: a large page takes its time to write, and
 * requests that come meanwhile are answered between one page and the next.
 */
export function createLoopTurns(): () => Promise<void> {
  const waiting: (() => void)[] = []
  const next = () => {
    waiting.shift()?.()
    if (waiting.length > 0) setImmediate(next)
  }
  return () =>
    new Promise(resolve => {
      waiting.push(resolve)
      if (waiting.length === 1) setImmediate(next)
    })
}
