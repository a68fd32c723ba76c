import assert from 'node:assert/strict'
import type { AmqpTap } from './amqp-tap.ts'
import type { Service } from './service.ts'

export interface KillMoment {
  at: 'deliver' | 'ack'
  /** 1 for the next one. */
  nth: number
}

/** SIGKILL at a delivery, or just before an acknowledgement. Returns how many deliveries were unacknowledged. */
export async function killAmid(service: Service, tap: AmqpTap, { at, nth }: KillMoment): Promise<number> {
  const killed = Promise.withResolvers<number>()
  let left = nth
  tap.onMethod(({ name }) => {
    if (name !== at || --left > 0) return undefined
    service.kill('SIGKILL')
    tap.onMethod(() => undefined)
    killed.resolve(tap.unacknowledged)
    return 'reset'
  })
  const unacknowledged = await killed.promise
  assert.equal((await service.exited).why, 'SIGKILL')
  return unacknowledged
}
