/**
 * Builds stand-ins for the official images, because no image registry can be reached from here. They contain Debian's packages,
 * with the names, users, paths and programs that deploy/ expects of the official images. docs/operations.md, "In containers",
 * says what the stand-ins cannot show.
 */

import { copyFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensureInstalled } from '../stack/install.ts'
import { ensurePackage } from '../stack/registry-package.ts'
import { ensureDebianRoot, ensureParts } from '../stack/stack-install.ts'
import { cacheFolder, rootOf, stackNamed } from '../stack/stacks.ts'
import { output, podman } from './podman.ts'

const ROOT = join(import.meta.dirname, '../..')
const NPM_FOLDER = join(import.meta.dirname, 'npm')

/** What an image is made of. */
interface Base {
  /** The folder of its Containerfile, and the image's name without its tag. */
  name: string
  /** A Debian root, by the name that its Containerfile uses. */
  root: { name: string; folder: string }
  /** Arguments of `podman build`. */
  options: readonly string[]
}

/** Debian 12 without any server. This machine's own system is not used for it, even if it runs Debian 12. */
const PLAIN = { name: 'debian-12', suite: 'bookworm', packages: [] }

/**
 * Makes sure that everything the images are made of is there: podman, three Debians and an npm.
 * @param say is called with a line of text for each step that has to be done
 * @throws {Error} whose message says what is not allowed here, or what to install by hand
 */
export async function ensureSources(say: (line: string) => void): Promise<void> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    throw new Error(
      'test:containers needs root on Linux: it makes Debian roots, and namespaces to run containers in.',
    )
  }
  // The last three are for test/containers/systemd.test.ts.
  await ensureInstalled(['containers', 'systemd', 'socat', 'curl'], say)
  for (const name of ['debian-13', 'debian-unstable']) await ensureParts(['rabbitmq'], stackNamed(name), say)
  await ensureDebianRoot(PLAIN, plainRoot(), say)
  await ensurePackage({ folder: NPM_FOLDER, name: 'npm for the image of Node', size: '3 MB' }, say)
}

function plainRoot(): string {
  return join(cacheFolder('containers'), PLAIN.name)
}

function rootOfStack(name: string): Base['root'] {
  const folder = rootOf(stackNamed(name))
  if (folder === null) throw new Error(`${name} is this machine's own system, which no image is made of`)
  return { name, folder }
}

/**
 * Builds the missing images, on the machine's network, with podman's environment.
 * @param wanted their full names, as written in the files that use them: `mariadb:11.8`
 */
export async function makeBaseImages(wanted: string[], say: (line: string) => void): Promise<void> {
  const context = await mkdtemp(join(tmpdir(), 'postviews-images-'))
  try {
    const bases: Base[] = [
      { name: 'rabbitmq', root: rootOfStack('debian-unstable'), options: [] },
      { name: 'mariadb', root: rootOfStack('debian-13'), options: [] },
      { name: 'prometheus', root: rootOfStack('debian-unstable'), options: [] },
      { name: 'php', root: rootOfStack('debian-13'), options: [] },
      { name: 'node', root: { name: PLAIN.name, folder: plainRoot() }, options: await nodeOptions(context) },
    ]
    for (const { name, root, options } of bases) {
      await importRoot(root, say)
      const from = join(import.meta.dirname, name)
      for (const file of ['docker-entrypoint.sh', 'healthcheck.sh'])
        await copyFile(join(from, file), join(context, file)).catch(() => {}) // Only databases have these files.
      const tag = wanted.find(image => image.split(':')[0]!.split('/').at(-1) === name)
      if (tag === undefined) throw new Error(`nothing in deploy/ asks for ${name}`)
      say(`Making ${tag} of ${root.name} ...`)
      await podman(
        'build',
        '--network=host',
        ...options,
        '-q',
        '-f',
        join(from, 'Containerfile'),
        '-t',
        tag,
        context,
      )
    }
  } finally {
    await rm(context, { recursive: true })
  }
}

/** Imports the folder as an image of the same name, unless that image was made of this same folder. */
async function importRoot({ name, folder }: Base['root'], say: (line: string) => void): Promise<void> {
  const { ino, mtimeMs } = await stat(join(folder, 'var/lib/dpkg/status'))
  const madeOf = `${ino}-${mtimeMs}`
  const label = await output(
    'podman',
    'image',
    'inspect',
    '--format',
    '{{index .Labels "made-of"}}',
    name,
  ).catch(() => '')
  if (label === madeOf) return
  say(`Taking ${folder} into an image ...`)
  // While a server runs in this root, file systems are mounted in it that do not belong in the image.
  const tar =
    'tar --one-file-system --exclude=./tmp/* --exclude=./var/cache/* -C "$1" -cf - . | podman import -q --change "LABEL made-of=$2" - "localhost/$3"'
  await output('sh', '-c', tar, 'sh', folder, madeOf, name)
}

async function nodeOptions(context: string): Promise<string[]> {
  const versionOf = async (folder: string) =>
    JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')).version
  const node = join(ROOT, 'node_modules/node')
  const npm = join(NPM_FOLDER, 'node_modules/npm')
  const extra = process.env['NODE_EXTRA_CA_CERTS']
  await writeFile(join(context, 'extra-ca-certs.pem'), extra === undefined ? '' : await readFile(extra))
  return [
    `--volume=${node}:/registry/node:ro`,
    `--volume=${npm}:/registry/npm:ro`,
    `--build-arg=NODE_VERSION=${await versionOf(node)}`,
    `--build-arg=NPM_VERSION=${await versionOf(npm)}`,
    ...(extra === undefined ? [] : ['--build-arg=EXTRA_CA_CERTS=/etc/ssl/certs/extra.pem']),
  ]
}
