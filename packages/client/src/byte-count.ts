/** How sizes are written in settings. */

const UNIT_BYTES: Record<string, number> = { '': 1, KiB: 1_024, MiB: 1_048_576, GiB: 1_073_741_824 }

/** @throws {Error} whose message completes "NAME: VALUE …" */
export function byteCount(text: string): number {
  const match = /^([1-9]\d{0,14})(KiB|MiB|GiB)?$/.exec(text)
  const bytes = match === null ? Number.NaN : Number(match[1]) * UNIT_BYTES[match[2] ?? '']!
  if (!Number.isSafeInteger(bytes))
    throw new Error('is not a size such as 500000000, 512MiB or 1GiB, above 0 and below 8388608GiB')
  return bytes
}
