/** From `DATABASE_URL` to a file. */

const FORM = 'write `sqlite:data/views.db`, or `sqlite:/var/lib/views.db` for a path from the root'

/**
 * What is wrong with `sqlite:PATH`; null when it can be used. The path is taken as it is written, so whatever stands for
 * something else elsewhere would become part of a file's name.
 */
export function problemOf(url: string): string | null {
  const path = url.slice('sqlite:'.length)
  if (path === '') return `names no file: ${FORM}`
  // To some programs sqlite:///x is a path from the root, and to others it is none.
  if (path.startsWith('//'))
    return `has slashes before the path, which each program reads its own way: ${FORM}`
  if (/^file:/i.test(path)) return `is no path: ${FORM}`
  if (path.includes(':memory:'))
    return 'would be gone with the process, and no other could read it: write the path of a file, as `sqlite:data/views.db`'
  if (path.includes('?')) return `takes no options behind the path, and none are needed: ${FORM}`
  if (/%[\da-f]{2}/i.test(path))
    return 'is not decoded: write the characters themselves in place of % and digits'
  if (path.startsWith('~') || /\$\w|\$\{/.test(path)) return 'is not expanded here: write the whole path'
  if (path.startsWith(' ')) return `begins with a space: ${FORM}`
  if (/(?:^|\/)\.{0,2}$/.test(path)) return 'is a folder: name the file in it, as `sqlite:data/views.db`'
  return null
}
