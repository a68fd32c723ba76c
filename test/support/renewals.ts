/**
 * Run with `--expose-gc` and a broker's URL. Renews a link several times, and prints how many of its old channels are still in
 * memory. It is its own program, because `node:test` keeps what its tests await.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { brokerUrl, openLink } from '@postviews/client/src/link.ts'

const RENEWALS = 20

const socket = new AbortController()
let link = await openLink({
  url: brokerUrl(process.argv[2]!, 10),
  timeoutMs: 10_000,
  signal: socket.signal,
  onBlocked() {},
  onUnblocked() {},
})
const channels: WeakRef<object>[] = []
for (let times = 0; times < RENEWALS; times++) {
  channels.push(new WeakRef(link.channel))
  link = await link.renew()
}
const left = () => channels.filter(channel => channel.deref() !== undefined).length
// The last channel may still be on the stack.
for (let turns = 0; turns < 50 && left() > 1; turns++) {
  await sleep(20)
  globalThis.gc?.()
}
console.log(left())
await link.close()
// `close` must settle `lost`, too.
await link.lost
