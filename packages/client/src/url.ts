import { cut, MAX_URL_CHARACTERS } from './view.ts'

/** The query parameters that are kept. The others may hold tokens, addresses and names: they never leave the process. */
const PARAMETERS = new Set(['utm_source', 'utm_medium', 'utm_campaign', 'ref'])
const PATH_AND_QUERY = /^([^?#]*)\??([^#]*)/
const USER_AND_PASSWORD = /^((?:[a-z][a-z0-9+.-]*:)?\/\/)[^/]*@/i

/**
 * The address that a reader requested, as it is sent: without fragment, user, password, and parameters that are
 * not kept. Null if it is not text: a wrong address never makes a view invalid.
 */
export function keptOfUrl(url: unknown): string | null {
  const text = url instanceof URL ? url.href : url
  if (typeof text !== 'string' || text.includes('\0')) return null
  const [, path = '', query = ''] = PATH_AND_QUERY.exec(text)!
  const address = path.replace(USER_AND_PASSWORD, '$1')
  const kept = query.split('&').filter(isKept).join('&')
  const parameters = kept === '' ? '' : `?${kept}`
  // In a long address, the parameters matter more than the path.
  const isLong = address.length + parameters.length > MAX_URL_CHARACTERS
  return cut((isLong ? '/' : address) + parameters, MAX_URL_CHARACTERS)
}

function isKept(pair: string): boolean {
  const [name = ''] = pair.split('=', 1)
  try {
    return PARAMETERS.has(name.includes('%') ? decodeURIComponent(name) : name)
  } catch {
    // The name is not valid percent-encoding, so it is not one of ours.
    return false
  }
}
