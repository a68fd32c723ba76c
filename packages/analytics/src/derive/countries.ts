/** Tells the country of an address from a database on this machine, so no address leaves it. */

import { readFileSync } from 'node:fs'
import { isIP, isIPv4 } from 'node:net'
import { Reader } from 'mmdb-lib'
import { isSpecial } from './special-networks.ts'

/** By DB-IP, CC-BY-4.0: decision 32 says how to replace it. */
const OURS = new URL('../../dbip/country.mmdb', import.meta.url)

/** What databases have for unknown, and for somewhere in Asia and the Pacific or in Europe. */
const NO_COUNTRIES = new Set(['ZZ', 'XX', 'AP', 'EU'])

const WHAT_IS_RIGHT =
  "name a country or city database in MaxMind's format, leave it empty for the one that comes with the service, or set none to keep no countries"

/** A country database has some 250 records. A city database has too many to keep, each with names in eight languages. */
const MAX_RECORDS_CACHED = 1_000

const SEPARATOR_BYTES = 16

export class Countries {
  /** The day on which the database was built, as `2026-06-01`. */
  readonly version: string
  readonly #reader: Reader<object>

  /** @throws {Error} which completes "FILE …" */
  constructor(database: Buffer) {
    if (database.toString('hex', 0, 2) === '1f8b') throw new Error('is compressed: unpack it with gunzip')
    let codes: Set<string | null>
    try {
      this.#reader = readerOf(database)
      this.version = this.#reader.metadata.buildEpoch.toISOString().slice(0, 10)
      codes = new Set(samples().map(address => this.#lookUp(address)))
    } catch (cause) {
      throw new Error("is damaged, cut short, or no database in MaxMind's format", { cause })
    }
    codes.delete(null)
    const { databaseType } = this.#reader.metadata
    if (codes.size === 0) throw new Error(`holds no countries: its type is ${JSON.stringify(databaseType)}`)
  }

  /**
   * An ISO 3166 code (or XK for Kosovo); null if the database does not know, or if the address is special. Answers are not
   * cached: a lookup takes 3 to 4 µs, and keeping its answer would take 2.
   *
   * @param ip in its canonical spelling
   */
  countryOf(ip: string | null): string | null {
    if (ip === null) return null
    const rest = ip.startsWith('::ffff:') ? ip.slice(7) : ''
    const address = isIPv4(rest) ? rest : ip
    if (isIP(address) === 0 || isSpecial(address)) return null
    try {
      return this.#lookUp(address)
    } catch {
      // The file has damage that no sample met. That is no reason to lose a view.
      return null
    }
  }

  #lookUp(address: string): string | null {
    // The reader would take the first 32 bits of an IPv6 address for an IPv4 address.
    if (this.#reader.metadata.ipVersion === 4 && !isIPv4(address)) return null
    const code = codeOf(this.#reader.get(address))
    return typeof code === 'string' && /^[A-Z]{2}$/.test(code) && !NO_COUNTRIES.has(code) ? code : null
  }
}

/**
 * Reads the whole file into memory.
 *
 * @param path a country or city database in MaxMind's format; without it, ours
 * @throws {Error} that names GEOIP_DB, the file, what is wrong with it, and what would be right
 */
export function openCountries(path?: string): Countries {
  try {
    return new Countries(readFileSync(path ?? OURS))
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    const problem = code?.startsWith('E') && !code.startsWith('ERR_') ? `cannot be read: ${message}` : message
    throw new Error(`GEOIP_DB: ${path ?? OURS.pathname} ${problem}; ${WHAT_IS_RIGHT}`, { cause })
  }
}

function readerOf(database: Buffer): Reader<object> {
  const records = new Map<number | string, unknown>()
  const cache = {
    get: (key: number | string) => records.get(key),
    set: (key: number | string, record: unknown) => {
      if (records.size < MAX_RECORDS_CACHED) records.set(key, record)
    },
  }
  const reader = new Reader<object>(database, { cache })
  // The size of the tree is written at the file's end. If part of the tree is missing, it does not end there.
  const end = reader.metadata.searchTreeSize
  const separator = database.subarray(end, end + SEPARATOR_BYTES)
  if (separator.length < SEPARATOR_BYTES || separator.some(byte => byte !== 0)) {
    throw new Error('The search tree does not end where it should')
  }
  return reader
}

/** MaxMind's and DB-IP's own files have `country.iso_code`; ours and IPinfo's have `country_code`. */
function codeOf(record: { country?: { iso_code?: unknown }; country_code?: unknown } | null): unknown {
  return record?.country?.iso_code ?? record?.country_code
}

/** Addresses all over the allocated space, so that a file that is damaged or holds no countries is refused at the start. */
function* samples(): Generator<string> {
  for (let first = 1; first < 224; first++)
    for (let second = 0; second < 256; second += 32) yield `${first}.${second}.0.1`
  for (const registry of ['2001', '2400', '2409', '2600', '2804', '2a02', '2c0f'])
    for (let group = 0; group < 0x10000; group += 0x400) yield `${registry}:${group.toString(16)}::1`
}
