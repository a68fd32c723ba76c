import { cut, MAX_URL_CHARACTERS } from './view.ts'

/** What is kept of the query of an address. The rest may hold tokens, addresses and names: it never leaves the process. */
const PARAMETERS = new Set(['utm_source', 'utm_medium', 'utm_campaign', 'ref'])
const PATH_AND_QUERY = /^([^?#]*)\??([^#]*)/
const USER_AND_PASSWORD = /^((?:[a-z][a-z0-9+.-]*:)?\/\/)[^/]*@/i

/**
 * The address that a reader asked for, as it is sent: without fragment, user, password and all parameters but those that
 * are kept. Null for what is no text: no view is refused for that.
 */
export function keptOfUrl(url: unknown): string | null {
  const text = url instanceof URL ? url.href : url
  if (typeof text !== 'string' || text.includes('\0')) return null
  const [, path = '', query = ''] = PATH_AND_QUERY.exec(text)!
  const address = path.replace(USER_AND_PASSWORD, '$1')
  const kept = query.split('&').filter(isKept).join('&')
  const parameters = kept === '' ? '' : `?${kept}`
  // The parameters are what counts.
  const isLong = address.length + parameters.length > MAX_URL_CHARACTERS
  return cut((isLong ? '/' : address) + parameters, MAX_URL_CHARACTERS)
}

function isKept(pair: string): boolean {
  const [name = ''] = pair.split('=', 1)
  try {
    return PARAMETERS.has(name.includes('%') ? decodeURIComponent(name) : name)
  } catch {
    // A percent sign that encodes nothing: none of ours.
    return false
  }
}
