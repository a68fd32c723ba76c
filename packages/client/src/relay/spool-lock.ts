/** Allows one relay at a time on a spool. The lock is a socket in its folder: it ends with its process, however that ends. */

import { randomUUID } from 'node:crypto'
import { lstatSync } from 'node:fs'
import { readdir, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { listenerOn } from './listen.ts'

const PREFIX = 'lock-'
const RANDOM_CHARACTERS = 8
const NAME = /^lock-\d+-[0-9a-f]{8}$/
/** On 64-bit Linux. */
const MOST_PID_DIGITS = 7

export interface SpoolLock {
  release(): Promise<void>
}

/** Bytes that a lock's name adds to the path of the folder. Both together must fit into the address of a socket. */
export const LOCK_NAME_BYTES = 1 + PREFIX.length + MOST_PID_DIGITS + 1 + RANDOM_CHARACTERS

/** Two relays that start at once may see each other and both give up. One of them has to succeed in the end. */
const ATTEMPTS = 3
const MOST_PAUSE_MS = 200

/** @throws {Error} when another relay holds the spool */
export async function lockSpool(folder: string): Promise<SpoolLock> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await tryLock(folder)
    } catch (error) {
      if (!(error instanceof SpoolHeld) || attempt === ATTEMPTS) throw error
      await sleep(Math.random() * MOST_PAUSE_MS)
    }
  }
}

class SpoolHeld extends Error {}

/**
 * Each relay first listens on a lock of its own, then looks for others. So if two start at once, at least one
 * sees the other. A lock that nobody listens on was left by a process that was killed.
 */
async function tryLock(folder: string): Promise<SpoolLock> {
  const name = `${PREFIX}${process.pid}-${randomUUID().slice(0, RANDOM_CHARACTERS)}`
  const server = createServer(socket => socket.destroy())
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(join(folder, name), resolve)
  })
  const release = () => new Promise<void>(resolve => server.close(() => resolve()))
  try {
    for (const other of await readdir(folder)) {
      if (!NAME.test(other) || other === name) continue
      const path = join(folder, other)
      if (!lstatSync(path, { throwIfNoEntry: false })?.isSocket()) continue
      const listener = await listenerOn(path)
      if (listener === 'somebody') {
        throw new SpoolHeld(
          `another relay uses RELAY_SPOOL ${folder} (process ${other.split('-')[1]}, by the name of its file ${other}): stop it, or give each relay a folder of its own`,
        )
      }
      if (listener === 'forbidden') {
        const { uid } = await stat(path)
        throw new Error(
          `RELAY_SPOOL ${folder}: ${other} belongs to user ${uid}, and user ${process.getuid?.()} cannot tell whether a relay still uses it: if none does, give that user the folder and everything in it (chown -R)`,
        )
      }
      await rm(path, { force: true })
    }
  } catch (error) {
    await release()
    throw error
  }
  return { release }
}
