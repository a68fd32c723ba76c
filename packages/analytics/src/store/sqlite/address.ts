/** From `DATABASE_URL` to a file. */

const FORM = 'write `sqlite:data/views.db`, or `sqlite:/var/lib/views.db` for a path from the root'

/**
 * What is wrong with `sqlite:PATH`; null when it can be used. The path is taken as it is written, so characters that have a
 * special meaning elsewhere would become part of the file's name.
 */
export function problemOf(url: string): string | null {
  const path = url.slice('sqlite:'.length)
  if (path === '') return `names no file: ${FORM}`
  // Some programs read sqlite:///x as a path from the root, others do not.
  if (path.startsWith('//'))
    return `has slashes before the path, which programs read in different ways: ${FORM}`
  if (/^file:/i.test(path)) return `is not a path: ${FORM}`
  if (path.includes(':memory:'))
    return 'would be lost when the process ends, and no other process could read it: write the path of a file, such as `sqlite:data/views.db`'
  if (path.includes('?')) return `takes no options after the path, and needs none: ${FORM}`
  if (/%[\da-f]{2}/i.test(path))
    return 'has % with digits, which is not decoded: write the characters themselves'
  if (path.startsWith('~') || /\$\w|\$\{/.test(path))
    return 'has ~ or $, which is not expanded: write the whole path'
  if (path.startsWith(' ')) return `begins with a space: ${FORM}`
  if (/(?:^|\/)\.{0,2}$/.test(path)) return 'is a folder: name the file in it, such as `sqlite:data/views.db`'
  return null
}
