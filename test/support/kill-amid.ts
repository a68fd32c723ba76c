import assert from 'node:assert/strict'
import type { AmqpTap } from './amqp-tap.ts'
import type { Service } from './service.ts'
import { until } from './until.ts'

export interface KillMoment {
  at: 'deliver' | 'ack'
  /** 1 for the next one. */
  nth: number
}

/** Long, because the service, its broker and its database may still be starting. */
const DEADLINE_MS = 120_000

/**
 * Kills the service with SIGKILL at the moment that the broker delivers the nth message, or just before the nth acknowledgement
 * reaches the broker. Returns how many deliveries were unacknowledged then.
 * @throws {Error} if that moment does not come within two minutes, for example because no message is left
 */
export async function killAmid(service: Service, tap: AmqpTap, { at, nth }: KillMoment): Promise<number> {
  let unacknowledged: number | undefined
  let left = nth
  tap.onMethod(({ name }) => {
    if (name !== at || --left > 0) return undefined
    service.kill('SIGKILL')
    tap.onMethod(() => undefined)
    unacknowledged = tap.unacknowledged
    return 'reset'
  })
  await until(`${at} ${nth}, to kill the service at it`, () => unacknowledged !== undefined, DEADLINE_MS)
  assert.equal((await service.exited).why, 'SIGKILL')
  return unacknowledged!
}
