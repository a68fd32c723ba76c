/** The names that the panel answers to. */

/** A name as browsers write it: lower case, punycode, without port and final dot; undefined if it is not a name. */
export function hostName(text: string): string | undefined {
  const url = URL.parse(`http://${text}`)
  if (url === null || url.pathname !== '/' || url.search !== '' || url.username !== '') return undefined
  const name = url.hostname.replace(/\.$/, '')
  return /^(?:[\w.-]+|\[[\da-f:]+\])$/.test(name) ? name : undefined
}

/**
 * Says whether a request is for one of the panel's names; any name, if it has none. This stops DNS rebinding: for a site
 * whose name was made to lead here, the browser would treat its pages as the panel's own.
 */
export function hostCheck(names: readonly string[]): (host: string | undefined) => boolean {
  const own = new Set(names)
  return host => own.size === 0 || own.has(hostName(host ?? '') ?? '')
}
