/** The client as somebody else gets it: built, packed, installed in an empty folder, imported, type-checked. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '..')
const tsc = join(root, 'node_modules/typescript/bin/tsc')

/** The Node of this machine, which may be older than the repository's, and that. */
const searched = (process.env['PATH'] ?? '')
  .split(delimiter)
  .filter(folder => !folder.includes('node_modules'))
const system = searched.map(folder => join(folder, 'node')).find(existsSync)
const nodes = [...new Set([process.execPath, ...(system === undefined ? [] : [system])])]

let folder: string
before(async () => {
  folder = await mkdtemp(join(await realpath(tmpdir()), 'postviews-client-'))
  const [built, packed] = [join(folder, 'built'), join(folder, 'packed')]
  await mkdir(packed)
  await run(process.execPath, [join(root, 'packages/client/build.ts'), built])
  const quiet = ['--offline', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  // Its dependency comes from this repository, so that the test needs no registry.
  for (const source of [built, join(root, 'node_modules/amqplib')]) {
    await run('npm', ['pack', source, '--pack-destination', packed, ...quiet], { cwd: folder })
  }
  const tarballs = (await readdir(packed)).map(name => join(packed, name))
  await writeFile(join(folder, 'package.json'), '{"type":"module","private":true}')
  await run('npm', ['install', ...tarballs, ...quiet], { cwd: folder })
})
after(() => rm(folder, { recursive: true }))

test('holds JavaScript, types and README, and no source or test', async () => {
  const files = await readdir(join(folder, 'node_modules/@postviews/client'))
  for (const file of ['package.json', 'README.md', 'index.js', 'index.d.ts'])
    assert.ok(files.includes(file), file)
  for (const file of files) {
    assert.ok(file.endsWith('.d.ts') || !file.endsWith('.ts'), file)
    assert.doesNotMatch(file, /test/)
  }
  const manifest = JSON.parse(
    await readFile(join(folder, 'node_modules/@postviews/client/package.json'), 'utf8'),
  )
  assert.deepEqual(Object.keys(manifest.dependencies), ['amqplib'])
  assert.equal(manifest.engines.node, '>=20')
})

test('exports what the source exports', async () => {
  const source = await import('@postviews/client')
  const list = 'console.log(JSON.stringify(Object.keys(await import("@postviews/client"))))'
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', list], { cwd: folder })
  assert.deepEqual(JSON.parse(stdout), Object.keys(source))
})

const PROGRAM = `
  import { createStats, createTracker, decodeMessage, proxyList, StatsUnavailable, viewFromRequest } from '@postviews/client'
  const dropped = []
  const tracker = createTracker({
    url: 'amqp://127.0.0.1:1', log: () => {}, onDrop: (event, reason) => dropped.push([event, reason]),
  })
  const request = { headers: { referer: 'https://example.org/\\ud800' }, socket: { remoteAddress: '::ffff:203.0.113.7' } }
  const head = { ...request, method: 'HEAD' }
  for (const asked of [request, head]) {
    const view = viewFromRequest(asked, { post_uuid: 'hello', trustedProxies: proxyList(['10.0.0.0/8']) })
    if (view !== null) tracker.trackView(view)
  }
  await tracker.close(0)
  const [[event, reason]] = dropped
  const body = Buffer.from(JSON.stringify(event))
  const { views } = decodeMessage(body, {}, { receivedAt: Date.now() / 1000, maxAgeSeconds: 60 })
  const stats = createStats({ baseUrl: 'http://127.0.0.1:1', key: 'key' })
  const error = await stats.status().catch(error => error)
  console.log(JSON.stringify([reason, views[0].ip, views[0].referer, error instanceof StatsUnavailable]))
`

for (const node of nodes) {
  test(`works under plain Node: ${node}`, async t => {
    await writeFile(join(folder, 'program.js'), PROGRAM)
    const { stdout } = await run(node, ['program.js'], { cwd: folder })
    assert.deepEqual(JSON.parse(stdout), ['closed', '203.0.113.7', 'https://example.org/\ufffd', true])
    const required = 'console.log(typeof require("@postviews/client").createTracker, process.version)'
    const { stdout: said } = await run(node, ['--input-type=commonjs', '-e', required], { cwd: folder })
    assert.match(said, /^function /)
    t.diagnostic(said.trim().slice('function '.length))
  })
}

test('is typed, for a strict consumer', async () => {
  const types = join(folder, 'node_modules/@types')
  await mkdir(types, { recursive: true })
  await cp(join(root, 'node_modules/@types/node'), join(types, 'node'), { recursive: true })
  await cp(join(root, 'node_modules/undici-types'), join(folder, 'node_modules/undici-types'), {
    recursive: true,
  })
  const compilerOptions = {
    strict: true,
    module: 'nodenext',
    target: 'es2022',
    types: ['node'],
    noEmit: true,
  }
  const check = async (program: string) => {
    await writeFile(join(folder, 'consumer.ts'), program)
    await writeFile(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, files: ['consumer.ts'] }),
    )
    return await run(process.execPath, [tsc, '-p', folder], { cwd: folder }).then(
      () => '',
      ({ stdout }: { stdout: string }) => stdout,
    )
  }
  const good = `
    import { createServer } from 'node:http'
    import { createStats, createTracker, proxyList, viewFromRequest } from '@postviews/client'
    import type { DropReason, PostViews, Tracker, ViewEvent } from '@postviews/client'
    const tracker: Tracker = createTracker({ url: 'amqp://broker', onDrop: (event: ViewEvent, reason: DropReason) => {} })
    const trustedProxies = proxyList(['10.0.0.0/8'])
    createServer(request => {
      const view = viewFromRequest(request, { post_uuid: 7, trustedProxies })
      if (view !== null) tracker.trackView(view)
    })
    tracker.trackView({ post_uuid: 7n, user_id: 2n ** 63n, logged_in: true, timestamp: new Date() })
    tracker.trackView({ post_uuid: 7, viewed_at: { date: '', timezone_type: 3, timezone: 'UTC' } })
    const answer: PostViews = await createStats({ baseUrl: 'http://analytics', key: 'key' }).postViews('hello')
    const unique: number | null = answer.unique_views
    const pending: number = await tracker.flush(1_000)
    export { pending, unique }
  `
  assert.equal(await check(good), '')
  const wrong = `
    declare const request: import('node:http').IncomingMessage
    import { createStats, createTracker, viewFromRequest } from '@postviews/client'
    createTracker({})
    createTracker({ url: '' }).trackView({ post_uuid: {} })
    createTracker({ url: '' }).trackView(viewFromRequest(request, { post_uuid: 7 }))
    const unique: number = (await createStats({ baseUrl: '', key: '' }).postViews('hello')).unique_views
    export { unique }
  `
  const lines = [...(await check(wrong)).matchAll(/consumer\.ts\((\d+),/g)].map(([, line]) => line)
  assert.deepEqual(lines, ['4', '5', '6', '7'])
})
