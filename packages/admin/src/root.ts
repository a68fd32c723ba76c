/**
 * Where the panel is, on the host that browsers know it by: its *root*, a path with a slash at its end, `/` or
 * `/stats/`. All addresses that the panel gives a browser, in links, forms, redirects, files and cookies, begin
 * with it; the routes do not know it.
 */

/** The first part of the address of each page and file. */
export const OWN_PARTS: readonly string[] =
  'assets data days.csv lists livez machines posts posts.csv sign-in sign-out'.split(' ')

/**
 * Reads a root from what somebody typed: `stats`, `/stats` and `/stats/` are one.
 *
 * @throws {Error} whose message completes "PANEL_PATH: …"
 */
export function parseRoot(text: string): string {
  const parts = text.replace(/^\//, '').replace(/\/$/, '').split('/')
  if (parts.length === 1 && parts[0] === '') return '/'
  if (parts.some(part => !/^[\w~-][\w.~-]*$/.test(part))) {
    throw new Error('is not a path such as /stats/, of letters, digits, and . _ ~ -')
  }
  // Otherwise the panel could not tell whether a proxy has removed the path.
  if (OWN_PARTS.includes(parts[0]!)) {
    throw new Error(`begins with ${parts[0]}, which is one of the panel's own pages; choose another name`)
  }
  return `/${parts.join('/')}/`
}

/** The address without the root, whether or not a proxy in front has removed it. */
export function belowRoot(url: string, root: string): string {
  if (url.startsWith(root)) return url.slice(root.length - 1)
  const [path] = url.split('?', 1)
  // `/stats`, as people type it.
  return `${path}/` === root ? `/${url.slice(path!.length)}` : url
}
