/** A copy of what is deployed, and a shell in which the commands of the documents can be typed: `docker` is tools/containers/docker.ts. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { parse } from 'yaml'
import { atEnd } from '../support/at-end.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const DEPLOYED = [
  'deploy',
  'packages',
  'examples',
  'package.json',
  'package-lock.json',
  '.npmrc',
  '.dockerignore',
  'LICENSE',
]
const run = promisify(execFile)

export const PROFILES = ['mariadb', 'relay', 'monitoring']

/** The part of the compose file that the tests look at. */
export interface Part {
  image: string
  build?: object
  profiles?: string[]
  ports?: string[]
  stop_grace_period?: string
  mem_limit?: string
}

export interface Deployed {
  folder: string
  /** Types the lines into a shell, in the copy; what was printed. @throws {Error} with it, when one fails */
  type(lines: string): Promise<string>
  /** What `.env` says. */
  settings: Map<string, string>
  /** The services of the profiles in use, by name. */
  parts: [string, Part][]
  container(service: string): string
}

export async function deployedCopy(t: TestContext): Promise<Deployed> {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-deployed-'))
  atEnd(t, () => rm(folder, { recursive: true }))
  for (const name of DEPLOYED) {
    const filter = (path: string) => !/\/(node_modules|dist|\.env)$/.test(path)
    await cp(join(ROOT, name), join(folder, name), { recursive: true, filter })
  }
  const bin = join(folder, '.bin')
  await mkdir(bin)
  const docker = `#!/bin/sh\nexec ${process.execPath} ${join(ROOT, 'tools/containers/docker.ts')} "$@"\n`
  await writeFile(join(bin, 'docker'), docker, { mode: 0o755 })
  const env = { ...process.env, PATH: `${bin}:${process.env['PATH']}` }

  const compose: { name: string; services: Record<string, Part> } = parse(
    await readFile(join(folder, 'deploy/compose.yaml'), 'utf8'),
    { merge: true },
  )
  const isUsed = ({ profiles }: Part) =>
    profiles === undefined || profiles.some(each => PROFILES.includes(each))
  return {
    folder,
    settings: new Map(),
    parts: Object.entries(compose.services).filter(([, part]) => isUsed(part)),
    container: service => `${compose.name}-${service}-1`,
    async type(lines) {
      try {
        const { stdout } = await run('sh', ['-euc', lines], { cwd: folder, env, maxBuffer: 64 * 1024 * 1024 })
        return stdout
      } catch (error) {
        const { stdout, stderr } = error as { stdout: string; stderr: string }
        throw new Error(`${lines}\n${stdout}${stderr}`, { cause: error })
      }
    },
  }
}

/** Gives every line of deploy/.env that is needed a value. */
export async function fillIn({ folder, settings }: Deployed): Promise<void> {
  const path = join(folder, 'deploy/.env')
  const lines = (await readFile(path, 'utf8')).split('\n').map(line => {
    const [, name, value] = /^(\w+)=(.*)$/.exec(line) ?? []
    if (name === undefined) return line
    const isSecret = /PASSWORD|_API_KEY$/.test(name) && name !== 'RETIRING_API_KEY'
    const chosen = isSecret
      ? randomBytes(24).toString('hex')
      : name === 'COMPOSE_PROFILES'
        ? PROFILES.join()
        : value!
    settings.set(name, chosen)
    return `${name}=${chosen}`
  })
  await writeFile(path, lines.join('\n'))
}

const operations = await readFile(join(ROOT, 'docs/operations.md'), 'utf8')

/** The commands that docs/operations.md tells people to type, below that heading. */
export function commandsOf(heading: string, nth = 0): string {
  const section = operations.split(`\n## ${heading}\n`)[1] ?? operations.split(`\n### ${heading}\n`)[1]
  const blocks = [...(section ?? '').matchAll(/```sh\n(.*?)```/gs)].map(([, block]) => block!)
  assert.ok(blocks[nth] !== undefined, `"${heading}" has no commands`)
  return blocks[nth]
}
