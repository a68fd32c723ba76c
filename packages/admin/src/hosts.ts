/** The names that the panel answers to. */

/** A name as browsers write it: lower case, punycode, without port and final dot; undefined for what is none. */
export function hostName(text: string): string | undefined {
  const url = URL.parse(`http://${text}`)
  if (url === null || url.pathname !== '/' || url.search !== '' || url.username !== '') return undefined
  const name = url.hostname.replace(/\.$/, '')
  return /^(?:[\w.-]+|\[[\da-f:]+\])$/.test(name) ? name : undefined
}

/**
 * Says whether a request asks for the panel by one of its names; whatever name, where it has none. A page of another
 * site whose name was made to lead here would otherwise be one of the panel's own for the browser.
 */
export function hostCheck(names: readonly string[]): (host: string | undefined) => boolean {
  const own = new Set(names)
  return host => own.size === 0 || own.has(hostName(host ?? '') ?? '')
}
