/**
 * A disk that fails when the test says so. Loaded before the relay (`--import`); `DISK_FAULTS` names the file with the faults.
 * Another file beside it lists the relay's calls on its files.
 */

import fs, { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import promises, { type FileHandle } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { basename, join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { temporaryFolder } from './temporary-folder.ts'

export interface DiskFaults {
  /**
   * `done, and fails`: the bytes are on disk, but the relay gets an error. A call that hangs waits for the next `set`.
   * `is slow`: takes 100 ms.
   */
  write?: 'fails' | 'hangs' | 'is slow' | 'done, and fails' | 'done, and hangs'
  truncate?: 'fails'
  sync?: 'fails'
  /** Bytes of the named file that give EIO. A read that begins before them ends before them. */
  unreadable?: { file: string; from: number; to: number }
}

export interface FaultyDisk {
  /** Options for `startRelay`. */
  options: { nodeOptions: string[]; settings: { DISK_FAULTS: string } }
  /** Replaces all faults. */
  set(faults: DiskFaults): void
  /** `write PATH`, `writeSync PATH`, `truncate PATH`, `sync PATH`: the completed calls, in order; `hung …` before one that hangs. */
  calls(): string[]
}

const POLL_MS = 5
const SLOW_MS = 100

/** Without faults until `set`. */
export function faultyDisk(t: TestContext): FaultyDisk {
  const file = join(temporaryFolder(t), 'faults')
  const set = (faults: DiskFaults) => {
    // Renamed into place, because the relay reads the file at each call and must never see half of it.
    writeFileSync(`${file}.new`, JSON.stringify(faults))
    renameSync(`${file}.new`, file)
  }
  set({})
  writeFileSync(callsBeside(file), '')
  return {
    options: { nodeOptions: ['--import', import.meta.url], settings: { DISK_FAULTS: file } },
    set,
    calls: () => readFileSync(callsBeside(file), 'utf8').split('\n').slice(0, -1),
  }
}

function callsBeside(file: string): string {
  return `${file}.calls`
}

if (process.env['DISK_FAULTS'] !== undefined) await misbehave(process.env['DISK_FAULTS'])

async function misbehave(file: string): Promise<void> {
  const paths = new WeakMap<FileHandle, string>()
  /** Open files, by descriptor. */
  const opened = new Map<number, FileHandle>()
  const pathOf = (handle: FileHandle) => paths.get(handle) ?? ''
  const faults = () => JSON.parse(readFileSync(file, 'utf8')) as DiskFaults
  const tell = (call: string, handle: FileHandle) =>
    appendFileSync(callsBeside(file), `${call} ${pathOf(handle)}\n`)

  promises.open = new Proxy(promises.open, {
    async apply(open, thisArgument, args) {
      const handle: FileHandle = await Reflect.apply(open, thisArgument, args)
      paths.set(handle, String(args[0]))
      opened.set(handle.fd, handle)
      return handle
    },
  })
  const anyFile = await promises.open('/dev/null')
  const files = Object.getPrototypeOf(anyFile) as FileHandle
  await anyFile.close()

  files.write = new Proxy(files.write, {
    async apply(write, handle: FileHandle, args) {
      if (faults().write === 'hangs') tell('hung write', handle)
      while (faults().write === 'hangs') await sleep(POLL_MS)
      if (faults().write === 'fails') throw ioError('write')
      if (faults().write === 'is slow') await sleep(SLOW_MS)
      const written: unknown = await Reflect.apply(write, handle, args)
      tell('write', handle)
      while (faults().write === 'done, and hangs') await sleep(POLL_MS)
      if (faults().write === 'done, and fails') throw ioError('write')
      return written
    },
  })
  fs.writeSync = new Proxy(fs.writeSync, {
    apply(write, thisArgument, [fd, ...args]) {
      const handle = opened.get(fd)
      // The relay's log.
      if (handle === undefined) return Reflect.apply(write, thisArgument, [fd, ...args])
      if (faults().write === 'hangs') tell('hung writeSync', handle)
      while (faults().write === 'hangs') sleepSync(POLL_MS)
      if (faults().write === 'fails') throw ioError('write')
      if (faults().write === 'is slow') sleepSync(SLOW_MS)
      const written: unknown = Reflect.apply(write, thisArgument, [fd, ...args])
      tell('writeSync', handle)
      while (faults().write === 'done, and hangs') sleepSync(POLL_MS)
      if (faults().write === 'done, and fails') throw ioError('write')
      return written
    },
  })
  files.truncate = new Proxy(files.truncate, {
    async apply(truncate, handle: FileHandle, args) {
      if (faults().truncate === 'fails') throw ioError('ftruncate')
      await Reflect.apply(truncate, handle, args)
      tell('truncate', handle)
    },
  })
  const failingSync = {
    async apply(sync: FileHandle['sync'], handle: FileHandle) {
      if (faults().sync === 'fails') throw ioError('fsync')
      await Reflect.apply(sync, handle, [])
      tell('sync', handle)
    },
  }
  files.sync = new Proxy(files.sync, failingSync)
  files.datasync = new Proxy(files.datasync, failingSync)
  files.read = new Proxy(files.read, {
    apply(read, handle: FileHandle, [buffer, offset, length, position]) {
      const { unreadable } = faults()
      const isIn = unreadable?.file === basename(pathOf(handle)) && position < unreadable.to
      const most = isIn ? unreadable.from - position : length
      if (most <= 0 && length > 0) return Promise.reject(ioError('read'))
      return Reflect.apply(read, handle, [buffer, offset, Math.min(length, most), position])
    },
  })
  syncBuiltinESMExports()
}

/** Blocks the thread. */
function sleepSync(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

function ioError(call: string): Error {
  return Object.assign(new Error(`EIO: i/o error, ${call}`), { code: 'EIO', syscall: call })
}
