import assert from 'node:assert/strict'
import type { AmqpTap } from './amqp-tap.ts'
import type { Service } from './service.ts'
import { until } from './until.ts'

export interface KillMoment {
  at: 'deliver' | 'ack'
  /** 1 for the next one. */
  nth: number
}

/** The service may have to start first, and its broker and database too. */
const DEADLINE_MS = 120_000

/**
 * SIGKILL at a delivery, or just before an acknowledgement. Returns how many deliveries were unacknowledged.
 * @throws {Error} when the moment does not come: there is nothing left to deliver, say
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
