/** Which names of time zones are of one zone. Apart from the calendar, whose rules no thread of a connection needs to load. */

/** Whether two names are of one zone, as `Asia/Calcutta` and `Asia/Kolkata` are. */
export function isSameTimeZone(one: string, other: string): boolean {
  return one === other || (firstNameOf(one) ?? one) === (firstNameOf(other) ?? other)
}

/** The name by which this runtime knows the zone, whichever of its names is given; null where it knows none. */
export function firstNameOf(name: string): string | null {
  if (/^[+-]/.test(name)) return null
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone
  } catch {
    // A RangeError is how Intl says that it does not know the zone.
    return null
  }
}
