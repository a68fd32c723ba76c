/** What a store is opened with. */

import type { Countries } from '../derive/countries.ts'
import type { IpStorage, UniqueBy } from './row.ts'
import type { ZoneRules } from './zone-rules.ts'

/** The settings that decide what is counted, and how. Recorded in the database, because numbers under different ones do not add up. */
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
  /** Whether to keep the addresses of recorded views; by default `full`. */
  ipStorage?: IpStorage
  /** Tells the country of an address. Null, which is the default: countries are not kept. */
  countries?: Countries | null
  /** Zone rules other than the newest are only for tests. */
  rules?: ZoneRules
  /** How many bytes lists of posts may keep in memory, on the SQL engines. */
  rankingBytes?: number
}
