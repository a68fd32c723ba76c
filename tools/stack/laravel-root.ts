/** A real Laravel, as Debian unstable packages it, in its own root: for the tests and the benchmark of packages/laravel. */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ensureDebianRoot, NotInstallableToday } from './stack-install.ts'
import { cacheFolder } from './stacks.ts'

const LARAVEL = {
  name: 'laravel',
  suite: 'sid',
  packages: [
    'php-cli',
    'php-fpm',
    'php-laravel-framework',
    'php-amqplib',
    'php-sqlite3',
    'php-mysql',
    'php-curl',
    'php-mbstring',
    'php-xml',
    'phpunit',
    'php-mockery',
    'composer',
    'nginx-light',
  ],
}

/**
 * Makes sure that the root is installed: takes a minute, and half a gigabyte in the cache folder. Remove that folder to get newer
 * versions.
 * @param say is called with a line of text for each step that has to be done
 * @returns the root, for `commandIn`
 * @throws {NotInstallableToday} when the packages of unstable do not fit each other today
 * @throws {Error} whose message says what is not allowed here
 */
export async function ensureLaravelRoot(say: (line: string) => void): Promise<string> {
  const root = join(cacheFolder('stacks'), LARAVEL.name)
  if (existsSync(root)) return root
  if (process.getuid?.() !== 0) {
    throw new Error(
      `A real Laravel needs root: Debian's packages of it are installed into ${root} (debootstrap) and run from there (chroot).`,
    )
  }
  await ensureDebianRoot(LARAVEL, root, say).catch((error: Error) => {
    throw new NotInstallableToday(error.message, { cause: error })
  })
  return root
}

/** The installed versions: `{ laravel: '13.31.0', amqplib: '3.7.5', php: '8.4' }`. */
export function laravelVersions(root: string): { laravel: string; amqplib: string; php: string } {
  const constantOf = (file: string) =>
    /const VERSION = '([\d.]+)'/.exec(readFileSync(join(root, 'usr/share/php', file), 'utf8'))![1]!
  return {
    laravel: constantOf('Illuminate/Foundation/Application.php'),
    amqplib: constantOf('PhpAmqpLib/Package.php'),
    php: phpVersion(root),
  }
}

/** Read from Debian's paths: `/etc/php/8.4/fpm`. */
function phpVersion(root: string): string {
  return readdirSync(join(root, 'etc/php')).at(-1)!
}
