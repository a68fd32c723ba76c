/** The files of a spool. */

import { constants } from 'node:fs'
import { type FileHandle, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { MAX_LINE_BYTES, recordAt } from './record.ts'

export interface Segment {
  readonly number: number
  readonly path: string
  /** How many bytes are on the disk for certain. */
  bytes: number
  /** How far it was read. */
  readTo: number
  /** Events that were read and not confirmed. */
  unconfirmed: number
}

const HEADER = Buffer.from('postviews-spool 1\n')
/** Where the first record begins. */
export const HEADER_BYTES = HEADER.length
const ANY_HEADER = /^postviews-spool (\d+)\n/
const NAME = /^(\d{8})\.views$/

export function isRead(segment: Segment): boolean {
  return segment.readTo >= segment.bytes
}

/** Everything in it was read and confirmed. */
export function isDone(segment: Segment): boolean {
  return isRead(segment) && segment.unconfirmed === 0
}

/**
 * Lists the segments that earlier processes left in the folder, oldest first.
 *
 * @throws {Error} when a segment has a newer version, or cannot be read
 */
export async function segmentsIn(folder: string): Promise<Segment[]> {
  const names = (await readdir(folder)).filter(name => NAME.test(name)).sort()
  const segments: Segment[] = []
  for (const name of names) {
    const segment = await leftBehind(join(folder, name), Number(NAME.exec(name)![1]))
    if (segment !== undefined) segments.push(segment)
  }
  return segments
}

async function leftBehind(path: string, number: number): Promise<Segment | undefined> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    const begin = await beginOf(file)
    const version = ANY_HEADER.exec(begin.toString('latin1'))?.[1]
    // One wrong bit turns the 1 into a 3.
    const isOurs = recordAt(begin, HEADER_BYTES)?.body !== undefined
    if (version !== undefined && Number(version) > 1 && !isOurs) {
      throw new Error(
        `RELAY_SPOOL has ${path} of format ${version}, written by a newer postviews-relay: start that version, which publishes it, or move the file away`,
      )
    }
    // The process that made it was killed before it wrote a record.
    if (size <= HEADER_BYTES && HEADER.subarray(0, size).equals(begin)) {
      await rm(path)
      return undefined
    }
    // A damaged header is read as a record, and reported as a damaged one.
    return { number, path, bytes: size, readTo: version === '1' ? HEADER_BYTES : 0, unconfirmed: 0 }
  } finally {
    await file.close()
  }
}

/** The header and the first record, as far as they can be read. */
async function beginOf(file: FileHandle): Promise<Buffer> {
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_LINE_BYTES), 0, MAX_LINE_BYTES, 0)
    return buffer.subarray(0, bytesRead)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EIO') throw error
    return Buffer.alloc(0)
  }
}

/** Creates a segment that takes records: every write to its file is on the disk when the call returns. */
export async function createSegment(
  folder: string,
  number: number,
): Promise<{ segment: Segment; file: FileHandle }> {
  const path = join(folder, `${String(number).padStart(8, '0')}.views`)
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_DSYNC
  const file = await open(path, flags, 0o600)
  try {
    await writeAt(file, HEADER, 0)
    // The file's name has to be on the disk as well.
    await file.sync()
    await syncFolder(folder)
  } catch (error) {
    await file.close()
    await rm(path, { force: true })
    throw error
  }
  return { segment: { number, path, bytes: HEADER_BYTES, readTo: HEADER_BYTES, unconfirmed: 0 }, file }
}

/** Makes sure that new names in the folder are on the disk. */
export async function syncFolder(folder: string): Promise<void> {
  const directory = await open(folder, 'r')
  await directory.sync().finally(() => directory.close())
}

export async function writeAt(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written, position + written)
    written += bytesWritten
  }
}
