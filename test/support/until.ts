import { setTimeout as sleep } from 'node:timers/promises'

/** Waits until the condition holds; checks it every few milliseconds. @throws {Error} with the condition's name, at the deadline */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  deadlineMs = 60_000,
): Promise<void> {
  const deadline = Date.now() + deadlineMs
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${deadlineMs} ms: ${what}`)
    await sleep(10)
  }
}
