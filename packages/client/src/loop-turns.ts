/**
 * Makes a function that resolves for one caller in each turn of the event loop. A long computation awaits it
 * before each of its parts, so that requests which arrive meanwhile are answered in between.
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
