/** What both ends of a relay's socket share: the relay, and the tracker that sends to it. */

/** The longest path in the address of a socket, without the byte that ends it. */
export const MAX_SOCKET_PATH_BYTES = 107

/** The longest JSON of an event that is taken, in bytes. */
export const MAX_EVENT_BYTES = 65_536

/** Why an event is refused for now: the same event may be taken later. With any other reason it is refused for good. */
export const TEMPORARY_REASONS = {
  full: 'the spool has reached RELAY_MAX_BYTES, because the broker does not take its views',
  disk: 'the spool cannot be written',
  stopping: 'the relay is being stopped',
} as const

export type TemporaryReason = keyof typeof TEMPORARY_REASONS

export function isTemporary(reason: string): reason is TemporaryReason {
  return Object.hasOwn(TEMPORARY_REASONS, reason)
}
