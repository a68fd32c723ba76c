/** The client as somebody else gets it: in the clone, installed from the clone's folder, and packed; imported, type-checked. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, glob, mkdtemp, readdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { clientNodes } from '../tools/stack/nodes.ts'
import { type ClientCheckout, clientCheckout } from './support/client-checkout.ts'
import { startRelay } from './support/relay.ts'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '..')
const tsc = join(root, 'node_modules/typescript/bin/tsc')
// Its dependency comes from this repository, so that the test needs no registry.
const QUIET = ['--offline', '--no-audit', '--no-fund', '--loglevel=error']

let clone: ClientCheckout
/** Projects of somebody else: one that installed what was packed, and one that installed the folder of the clone. */
let [packed, linked] = ['', '']
before(async () => {
  clone = await clientCheckout()
  packed = await newProject()
  const tarballs = await mkdtemp(join(packed, 'tarballs-'))
  // Packing builds it first, whatever lies in dist.
  await writeFile(join(clone.client, 'dist/index.js'), 'throw new Error("old")')
  for (const source of [clone.client, join(root, 'node_modules/amqplib')]) {
    await run('npm', ['pack', source, '--pack-destination', tarballs, ...QUIET], { cwd: packed })
  }
  const files = (await readdir(tarballs)).map(name => join(tarballs, name))
  await run('npm', ['install', ...files, ...QUIET], { cwd: packed })
  linked = await newProject()
  await run('npm', ['install', clone.client, ...QUIET], { cwd: linked })
})
after(async () => {
  for (const folder of [packed, linked]) if (folder !== '') await rm(folder, { recursive: true })
  await clone?.remove()
})

async function newProject(): Promise<string> {
  const folder = await mkdtemp(join(await realpath(tmpdir()), 'postviews-client-'))
  await writeFile(join(folder, 'package.json'), '{"type":"module","private":true}')
  return folder
}

/** What was built of the package in that folder: the name of each file, and its text. */
async function builtIn(client: string): Promise<Record<string, string>> {
  const dist = join(client, 'dist')
  const names = await readdir(dist, { recursive: true }).catch(() => [] as string[])
  const files = names
    .filter(name => name.includes('.'))
    .sort()
    .map(async name => [name, await readFile(join(dist, name), 'utf8')] as const)
  return Object.fromEntries(await Promise.all(files))
}

test('holds JavaScript, types, licence and README, and no source or test', async () => {
  const folder = join(packed, 'node_modules/@postviews/client')
  assert.deepEqual((await readdir(folder)).sort(), ['LICENSE', 'README.md', 'bin', 'dist', 'package.json'])
  assert.equal(await readFile(join(folder, 'LICENSE'), 'utf8'), await readFile(join(root, 'LICENSE'), 'utf8'))
  const files = Object.keys(await builtIn(folder))
  for (const file of ['index.js', 'index.d.ts']) assert.ok(files.includes(file), file)
  for (const file of files) {
    assert.ok(file.endsWith('.d.ts') || !file.endsWith('.ts'), file)
    assert.doesNotMatch(file, /test/)
  }
  const manifest = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
  assert.deepEqual(Object.keys(manifest.dependencies), ['amqplib'])
  assert.equal(manifest.engines.node, '>=20')
})

test('everything that is published is part of what is imported, and whoever may read the package may read it', async () => {
  const built = await builtIn(clone.client)
  const { exports } = JSON.parse(await readFile(join(clone.client, 'package.json'), 'utf8'))
  const entries = Object.values<Record<string, string> | string>(exports).filter(
    entry => typeof entry === 'object',
  )
  const reached = new Set(
    entries.flatMap(({ types, default: code }) => [types!, code!]).map(path => basename(path)),
  )
  assert.equal(reached.size, 8)
  const program = await readFile(join(clone.client, 'bin/postviews-relay.mjs'), 'utf8')
  const main = /'\.\.\/dist\/(.*)\.js'/.exec(program)![1]
  for (const suffix of ['.js', '.d.ts']) reached.add(main + suffix)
  for (const name of reached) {
    for (const [, module] of (built[name] ?? '').matchAll(
      /(?:from|import) ?\(?['"](\.\.?\/[\w-]+)\.(?:js|ts)['"]/g,
    ))
      for (const suffix of ['.js', '.d.ts']) reached.add(join(dirname(name), module! + suffix))
  }
  assert.deepEqual(Object.keys(built).sort(), [...reached].sort())
  assert.equal((await stat(join(clone.client, 'dist'))).mode & 0o777, 0o777 & ~process.umask())
})

test('what is built in this checkout is what its source makes', async () => {
  const [here, made] = [await builtIn(join(root, 'packages/client')), await builtIn(clone.client)]
  const names = new Set([...Object.keys(here), ...Object.keys(made)])
  const stale = [...names].filter(name => here[name] !== made[name])
  assert.deepEqual(stale, [], 'npm run build makes packages/client/dist anew')
})

test('programs of this repository import the source, so that a change of it is never waited for', async () => {
  const options = { cwd: root, exclude: (path: string) => /(^|\/)(node_modules|dist)(\/|$)/.test(path) }
  for await (const path of glob('{packages,examples,test,tools,bench}/**/*.{ts,mjs}', options)) {
    const source = await readFile(join(root, path), 'utf8')
    for (const [, name] of source.matchAll(/^(?:import|export|\}).*from '(@postviews\/client[^']*)'$/gm))
      assert.match(name!, /^@postviews\/client\/src\/[a-z/-]+\.ts$/, path)
  }
})

test('exports what the source exports', async () => {
  const sources = {
    '@postviews/client': await import('@postviews/client/src/index.ts'),
    '@postviews/client/express': await import('@postviews/client/src/express.ts'),
    '@postviews/client/fastify': await import('@postviews/client/src/fastify.ts'),
    '@postviews/client/testing': await import('@postviews/client/src/fake.ts'),
  }
  for (const [name, source] of Object.entries(sources)) {
    const list = `console.log(JSON.stringify(Object.keys(await import("${name}"))))`
    for (const folder of [clone.folder, packed, linked]) {
      const { stdout } = await run(process.execPath, ['--input-type=module', '-e', list], { cwd: folder })
      assert.deepEqual(JSON.parse(stdout), Object.keys(source), name)
    }
  }
})

test('neither framework is asked for: the middleware and the fake load where there is none', async () => {
  for (const folder of [packed, linked]) {
    await assert.rejects(
      run(process.execPath, ['-e', 'require("express")'], { cwd: folder }),
      /Cannot find module/,
    )
    await assert.rejects(
      run(process.execPath, ['-e', 'require("fastify")'], { cwd: folder }),
      /Cannot find module/,
    )
  }
})

const PROGRAM = `
  import { createStats, createTracker, decodeMessage, proxyList, StatsUnavailable, viewFromRequest } from '@postviews/client'
  import { trackView as ofExpress } from '@postviews/client/express'
  import { trackView as ofFastify } from '@postviews/client/fastify'
  import { fakeTracker } from '@postviews/client/testing'
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
  const fake = fakeTracker()
  const response = { statusCode: 200, once: (event, finished) => finished() }
  ofExpress(fake, { post: 'post' })({ ...request, method: 'GET', params: { post: '7' } }, response, () => {})
  ofFastify(fake, { post: () => 8 })({ raw: { ...request, method: 'GET' } }, { raw: response }, () => {})
  const body = Buffer.from(JSON.stringify(event))
  const { views } = decodeMessage(body, {}, { receivedAt: Date.now() / 1000, maxAgeSeconds: 60 })
  const stats = createStats({ baseUrl: 'http://127.0.0.1:1', key: 'key' })
  const error = await stats.status().catch(error => error)
  console.log(JSON.stringify([reason, views[0].ip, views[0].referer, error instanceof StatsUnavailable, fake.tracked().length]))
`

test('works under Node 20, 22 and 24: in the clone, from its folder and packed', async t => {
  const required = `console.log(
    typeof require("@postviews/client").createTracker, typeof require("@postviews/client/express").trackView,
    typeof require("@postviews/client/testing").fakeTracker, process.version,
  )`
  const majors: string[] = []
  for (const node of await clientNodes(line => t.diagnostic(line))) {
    for (const folder of [clone.folder, packed, linked]) {
      await writeFile(join(folder, 'program.mjs'), PROGRAM)
      const { stdout } = await run(node, ['program.mjs'], { cwd: folder })
      assert.deepEqual(JSON.parse(stdout), ['closed', '203.0.113.7', 'https://example.org/\ufffd', true, 2])
    }
    const { stdout: said } = await run(node, ['--input-type=commonjs', '-e', required], { cwd: packed })
    majors.push(/^function function function v(\d+)\./.exec(said)?.[1] ?? said)
  }
  assert.deepEqual(majors, ['20', '22', '24'])
})

test('hands views to a relay under Node 20, 22 and 24', async t => {
  // Its broker is away: what it answers, it has on its disk.
  const { socket } = await startRelay(t, { amqpUrl: 'amqp://127.0.0.1:1' })
  const program = `
    import { createTracker } from '@postviews/client'
    const tracker = createTracker({ url: process.argv[2] })
    for (let post_uuid = 1; post_uuid <= 1000; post_uuid++) tracker.trackView({ post_uuid })
    await tracker.close(10_000)
    console.log(tracker.stats().confirmed)
  `
  await writeFile(join(packed, 'relayed.mjs'), program)
  for (const node of await clientNodes(line => t.diagnostic(line))) {
    const { stdout, stderr } = await run(node, ['relayed.mjs', `unix:${socket}`], { cwd: packed })
    assert.equal(stdout, '1000\n')
    assert.match(stderr, /^postviews relay.connected: .*relay\.sock, after 0 failures\n$/)
  }
})

const GOOD = `
  import { createServer } from 'node:http'
  import { createStats, createTracker, proxyList, viewFromRequest } from '@postviews/client'
  import { trackView as expressTrackView, type ExpressRequest, type ExpressResponse, type TrackViewOptions } from '@postviews/client/express'
  import { trackView as fastifyTrackView } from '@postviews/client/fastify'
  import { fakeTracker } from '@postviews/client/testing'
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
  tracker.trackView({ post_uuid: 7, url: new URL('https://blog.example/?ref=news') })
  const pending: number = await tracker.flush(1_000)
  const fake = fakeTracker()
  fake.assertNotTracked(view => view.user_id === '7' && view.logged_in)
  const options: TrackViewOptions<ExpressRequest & { user?: { id: string } }, ExpressResponse> = {
    post: 'post', user_id: request => request.user?.id, except: (request, post) => post === 'mine',
  }
  expressTrackView(fake, { ...options, except: () => false })
  fastifyTrackView(fake, { post: 'post', user_id: request => request.headers.from })
  export { pending, unique }
`

const WRONG = `
  declare const request: import('node:http').IncomingMessage
  import { createStats, createTracker, viewFromRequest } from '@postviews/client'
  createTracker({})
  createTracker({ url: '' }).trackView({ post_uuid: {} })
  createTracker({ url: '' }).trackView(viewFromRequest(request, { post_uuid: 7 }))
  const unique: number = (await createStats({ baseUrl: '', key: '' }).postViews('hello')).unique_views
  import { trackView } from '@postviews/client/express'
  import { fakeTracker } from '@postviews/client/testing'
  trackView(fakeTracker(), {})
  trackView(fakeTracker(), { post: () => ({ name: 'no id' }) })
  trackView(fakeTracker(), { post: 'post', except: async () => true })
  fakeTracker().assertTracked({ id: 7 })
  export { unique }
`

/** What the compiler says of a program in that project, which checks the declarations that it imports as well. */
async function complaintsOf(folder: string, program: string): Promise<string> {
  for (const name of ['@types/node', 'undici-types']) {
    await cp(join(root, 'node_modules', name), join(folder, 'node_modules', name), { recursive: true })
  }
  const compilerOptions = {
    strict: true,
    module: 'nodenext',
    target: 'es2022',
    types: ['node'],
    noEmit: true,
  }
  await writeFile(join(folder, 'consumer.ts'), program)
  const config = { compilerOptions: { ...compilerOptions, skipLibCheck: false }, files: ['consumer.ts'] }
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config))
  return await run(process.execPath, [tsc, '-p', folder], { cwd: folder }).then(
    () => '',
    ({ stdout }: { stdout: string }) => stdout,
  )
}

test('is typed, for a strict consumer', async () => {
  for (const folder of [packed, linked]) assert.equal(await complaintsOf(folder, GOOD), '')
  const complaints = (await complaintsOf(packed, WRONG)).matchAll(/consumer\.ts\((\d+),/g)
  assert.deepEqual(
    [...complaints].map(([, line]) => line),
    ['4', '5', '6', '7', '10', '11', '12', '13'],
  )
})
