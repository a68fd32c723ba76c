/**
 * Loaded before the relay (`--import`). The relay dies as by SIGKILL at a point that no outside signal would hit. `DIE_AT` names
 * the point.
 */

import fs, { constants } from 'node:fs'
import promises, { type FileHandle } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { Socket } from 'node:net'

export const RELAY_POINTS = [
  'with half of a group written',
  'after a group is written, before it is answered',
  'after the answer, before it is published',
  'after the confirm, before its segment is emptied',
  'after its segment is emptied',
  'after a full segment is confirmed, before it goes',
  'after a full segment is gone',
  'when a segment is made, and empty',
  'with half of the first line of a new segment',
  'when another segment is made',
] as const

const point = process.env['DIE_AT']
const segments = new WeakSet<FileHandle>()
const segmentFds = new Set<number>()
let made = 0

promises.open = new Proxy(promises.open, {
  async apply(open, thisArgument, [path, flags, ...rest]) {
    const file: FileHandle = await Reflect.apply(open, thisArgument, [path, flags, ...rest])
    if (!String(path).endsWith('.views') || (flags & constants.O_CREAT) === 0) return file
    segments.add(file)
    segmentFds.add(file.fd)
    dieAt('when a segment is made, and empty')
    if (++made === 2) dieAt('when another segment is made')
    return file
  },
})

promises.rm = new Proxy(promises.rm, {
  async apply(rm, thisArgument, [path, ...rest]) {
    const isSegment = String(path).endsWith('.views')
    if (isSegment) dieAt('after a full segment is confirmed, before it goes')
    await Reflect.apply(rm, thisArgument, [path, ...rest])
    if (isSegment) dieAt('after a full segment is gone')
  },
})

const anyFile = await promises.open('/dev/null')
const files = Object.getPrototypeOf(anyFile) as FileHandle
await anyFile.close()

// Writes the first line of a segment.
files.write = new Proxy(files.write, {
  async apply(write, file: FileHandle, [buffer, offset, length, position]) {
    if (segments.has(file)) {
      const wanted = 'with half of the first line of a new segment'
      if (point === wanted)
        await Reflect.apply(write, file, [buffer, offset, Math.ceil(length / 2), position])
      dieAt(wanted)
    }
    return await Reflect.apply(write, file, [buffer, offset, length, position])
  },
})

// Writes groups when the disk is fast.
fs.writeSync = new Proxy(fs.writeSync, {
  apply(write, thisArgument, [fd, buffer, offset, length, position]) {
    if (segmentFds.has(fd) && point === 'with half of a group written') {
      Reflect.apply(write, thisArgument, [fd, buffer, offset, Math.ceil(length / 2), position])
      dieAt(point)
    }
    const written: unknown = Reflect.apply(write, thisArgument, [fd, buffer, offset, length, position])
    if (segmentFds.has(fd)) dieAt('after a group is written, before it is answered')
    return written
  },
})

files.truncate = new Proxy(files.truncate, {
  async apply(truncate, file: FileHandle, [bytes]) {
    dieAt('after the confirm, before its segment is emptied')
    await Reflect.apply(truncate, file, [bytes])
    dieAt('after its segment is emptied')
  },
})

Socket.prototype.write = new Proxy(Socket.prototype.write, {
  apply(write, socket, [data, ...rest]) {
    const isTaken: unknown = Reflect.apply(write, socket, [data, ...rest])
    if (String(data).startsWith('ok\n')) dieAt('after the answer, before it is published')
    return isTaken
  },
})

syncBuiltinESMExports()

function dieAt(here: (typeof RELAY_POINTS)[number]): void {
  if (point !== here) return
  process.kill(process.pid, 'SIGKILL')
  // A signal may arrive later; the process must not continue until then.
  for (;;);
}
