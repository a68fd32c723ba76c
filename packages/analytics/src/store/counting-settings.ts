/** What a store is opened with. */

import type { IpStorage, UniqueBy } from './row.ts'
import type { ZoneRules } from './zone-rules.ts'

/**
 * The settings that decide what is counted, and as what. They are recorded in the database: numbers counted under
 * different ones do not add up.
 */
export interface CountingSettings {
  timeZone: string
  windowHours: number
  uniqueBy: UniqueBy
  bots: 'count' | 'exclude'
}

/** The counting settings that a process asks for; `uniqueBy` null: whatever the database records. */
export interface AskedSettings extends Omit<CountingSettings, 'uniqueBy'> {
  uniqueBy: UniqueBy | null
}

export interface StoreOptions {
  /** Whether the addresses of views that are recorded are kept; by default they are. */
  ipStorage?: IpStorage
  /** Others than the newest are for tests alone. */
  rules?: ZoneRules
  /** What lists of posts may keep in memory, on the SQL engines. */
  rankingBytes?: number
}
