/** What `npm run test:containers` runs in its namespaces: it builds the images, then runs the tests on a network of their own. */

import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'
import { makeBaseImages } from './images.ts'
import { onOwnNetwork } from './namespaces.ts'
import { podman } from './podman.ts'

const ROOT = join(import.meta.dirname, '../..')
const say = (line: string) => console.log(`[test:containers] ${line}`)

// A run that was killed leaves its containers in the storage; none of them runs any more.
await removeAll()
process.exitCode = await makeBaseImages(await imagesAskedFor(), say).then(
  () => runTests(process.argv.slice(2)),
  (error: Error) => {
    console.error(error.message)
    return 1
  },
)
await removeAll()

async function imagesAskedFor(): Promise<string[]> {
  const { services } = parse(await readFile(join(ROOT, 'deploy/compose.yaml'), 'utf8'), { merge: true })
  const dockerfile = await readFile(join(ROOT, 'deploy/Dockerfile'), 'utf8')
  const { rabbitmq, mariadb, prometheus, php } = services
  return [rabbitmq.image, mariadb.image, prometheus.image, php.image, /^FROM (\S+)/m.exec(dockerfile)![1]!]
}

function runTests(options: string[]): Promise<number> {
  const files = options.filter(option => !option.startsWith('-'))
  const [program, ...args] = onOwnNetwork([
    process.execPath,
    '--test',
    '--test-concurrency=1',
    '--test-reporter=spec',
    ...options.filter(option => option.startsWith('-')),
    ...(files.length > 0 ? files : ['test/containers/*.test.ts']),
  ])
  return new Promise(resolve => {
    const child = spawn(program!, args, { cwd: ROOT, stdio: 'inherit' })
    child.once('exit', status => resolve(status ?? 1))
  })
}

async function removeAll(): Promise<void> {
  await podman('rm', '--all', '--force', '--time=0')
  await podman('volume', 'rm', '--all', '--force')
  await podman('network', 'prune', '--force')
  await podman('image', 'prune', '--force')
}
