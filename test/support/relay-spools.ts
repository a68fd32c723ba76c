/** A spool that an earlier relay left behind, and a relay with a broker that finds it. */

import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { testRabbitmq } from '../../tools/stack/for-tests.ts'
import { type Relay, type RelayOptions, startRelay } from './relay.ts'
import { connectLines } from './relay-lines.ts'
import { declareQueues } from './system.ts'
import { temporaryFolder } from './temporary-folder.ts'

export const NOWHERE = 'amqp://127.0.0.1:1'

/** A folder with the spool of a killed relay, which holds these events. */
export async function spoolOf(t: TestContext, lines: readonly string[]): Promise<string> {
  const folder = temporaryFolder(t)
  const relay = await startRelay(t, { amqpUrl: NOWHERE, folder })
  const client = await connectLines(relay.socket)
  assert.deepEqual(new Set(await client.ask(lines)), new Set(['ok']))
  await relay.end('SIGKILL')
  return folder
}

/** Starts a relay on that folder, with its own broker and queues. */
export async function relayOn(
  t: TestContext,
  folder: string,
  options: Omit<RelayOptions, 'amqpUrl' | 'folder'> = {},
): Promise<{ url: string; relay: Relay; folder: string }> {
  const { url } = await testRabbitmq()
  await declareQueues(url)
  const relay = await startRelay(t, { ...options, amqpUrl: url, folder })
  return { url, relay, folder }
}

export function linesWithEnds(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0x0a, at) + 1
    lines.push(bytes.subarray(at, end))
    at = end
  }
  return lines
}
