/**
 * The images that are pulled elsewhere, where no registry is reached: made of Debian's packages, under the names, users, paths and
 * programs that deploy/ takes from the official ones. What they cannot show is in docs/operations.md, "In containers".
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
  /** The folder of its Containerfile, and the first part of its name. */
  name: string
  /** Of Debian, by the name that its Containerfile has. */
  root: { name: string; folder: string }
  /** Arguments of the build. */
  options: readonly string[]
}

/** Debian 12 without any server: of this machine it cannot be taken, even where that has the same. */
const PLAIN = { name: 'debian-12', suite: 'bookworm', packages: [] }

/**
 * Makes sure that everything is there which images are made of: podman, three Debians and an npm.
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
 * Makes the images, those aside that are there already: from the machine's network, and with podman's environment.
 * @param wanted their full names, by the files that ask for them: `mariadb:11.8`
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
        await copyFile(join(from, file), join(context, file)).catch(() => {}) // Only a database has them.
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

/** Takes the folder into an image of the same name, unless that is of this very folder. */
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
  // What is mounted there while somebody runs a server of it belongs to another system.
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
