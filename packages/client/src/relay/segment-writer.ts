import { writeSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { writeAt } from './segments.ts'

/** A write that takes longer is slow: a thread should do it, so that the next group is read meanwhile. An SSD takes 0.1 ms. */
const SLOW_MS = 1

/**
 * Writes groups to a segment's file.
 *
 * While the disk is quick, the main thread writes. Handing a write to libuv's threads and back costs more than the disk: 1.0 ms
 * in place of 0.3 ms at the 99th percentile. But the main thread can do nothing else while it writes, and hears no signal. So
 * after a slow write libuv's threads write, until one of their writes was quick.
 */
export class SegmentWriter {
  #isSlow = false

  /** @throws the file system's error; some of the bytes may be written then */
  async write(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
    const sinceMs = performance.now()
    try {
      if (this.#isSlow) await writeAt(file, bytes, position)
      else writeAllSync(file.fd, bytes, position)
    } finally {
      this.#isSlow = performance.now() - sinceMs > SLOW_MS
    }
  }
}

function writeAllSync(fd: number, bytes: Buffer, position: number): void {
  for (let written = 0; written < bytes.length; ) {
    written += writeSync(fd, bytes, written, bytes.length - written, position + written)
  }
}
