import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Folders with servers that a user's PATH often lacks. */
const SYSTEM_DIRS = ['/usr/sbin', '/usr/local/sbin', '/sbin', '/opt/homebrew/sbin', '/opt/homebrew/bin']

/** The full path of a program. It is searched for in `firstDirs`, then in PATH, then in the folders where systems put servers. */
export function findProgram(name: string, firstDirs: string[] = []): string | undefined {
  const path = (process.env['PATH'] ?? '').split(delimiter).filter(dir => dir !== '')
  return [...firstDirs, ...path, ...SYSTEM_DIRS].map(dir => join(dir, name)).find(isExecutable)
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
