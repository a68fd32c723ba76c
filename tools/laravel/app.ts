/**
 * The smallest real application: Debian's Laravel, the files that `composer create-project` would make (skeleton/), our package
 * (by `composer require` from this checkout), and the code that docs/laravel.md tells a developer to write.
 */

import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { chmod, chown, cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { laravelVersions } from '../stack/laravel-root.ts'
import { type Snippet, snippetsOf, withSnippet } from './document.ts'
import { inLaravelRoot, laravelRoot, type Outcome } from './root.ts'

const SKELETON = join(import.meta.dirname, 'skeleton')
/** Where the document expects a clone of this repository: beside the application. */
const CLONE = '../postviews'
const PACKAGE = join(import.meta.dirname, '../../packages/laravel')
/** Folders that Laravel writes to; they belong to the web server's user. */
const WRITABLE = ['storage', 'bootstrap/cache', 'database']
const CACHES = ['storage/framework/views', 'bootstrap/cache']
const FOLDERS = [
  'bootstrap/cache',
  'database',
  'storage/app',
  'storage/framework/cache/data',
  'storage/framework/sessions',
  'storage/framework/testing',
  'storage/framework/views',
  'storage/logs',
]
/** Debian's www-data, in every release. */
export const WEB_USER = 33
const STEPS = 'Five steps to the first counted view'

export interface AppOptions {
  /** Added to `.env`. */
  env?: Record<string, string>
  /** Files to write or overwrite, by path. */
  files?: Record<string, string>
}

export interface LaravelApp {
  /** `base_path()`: the same path inside the root and outside. */
  folder: string
  write(path: string, text: string): Promise<void>
  read(path: string): string
  /** `php artisan …` */
  artisan(...args: string[]): Promise<Outcome>
  /** Runs PHP in the booted application, as tinker would; stdout is what it echoes. */
  run(code: string): Promise<Outcome>
  /** Runs the application's own tests, as its developer does. */
  test(...args: string[]): Promise<Outcome>
  /** storage/logs/laravel.log */
  log(): string
  remove(): Promise<void>
}

/** A fresh application after all steps of the document. */
export async function createLaravelApp({ env = {}, files = {} }: AppOptions = {}): Promise<LaravelApp> {
  documented ??= makeDocumented()
  const app = appIn(await temporaryFolder())
  // Composer links to the package. Each application gets its own copy of it instead.
  await cp(await documented, app.folder, { recursive: true, dereference: true })
  await addToEnv(app, env)
  for (const [path, text] of Object.entries(files)) await app.write(path, text)
  await giveToWebUser(app.folder)
  return app
}

let documented: Promise<string> | undefined

/** Made once per process, because each step takes a second; every other application is a copy of it. */
async function makeDocumented(): Promise<string> {
  const app = await createBareApp()
  process.once('exit', () => rmSync(dirname(app.folder), { recursive: true, force: true }))
  for (const snippet of stepsOf()) {
    // The doctor would fail: no service and no broker run yet.
    if (!snippet.text.includes('postviews:doctor')) await follow(app, snippet)
  }
  return app.folder
}

export function stepsOf(): Snippet[] {
  return snippetsOf().filter(({ section }) => section === STEPS)
}

/** Follows a snippet: writes its file, or runs its commands. */
export async function follow(app: LaravelApp, snippet: Snippet): Promise<string> {
  const { file, language, text } = snippet
  if (file !== null) {
    await app.write(file, withSnippet(existsSync(join(app.folder, file)) ? app.read(file) : '', snippet))
    return ''
  }
  if (language !== 'sh') return ''
  let said = ''
  for (const line of text.split('\n').filter(Boolean)) {
    const [command] = line.split(' #') as [string]
    const { code, stdout, stderr } = await inLaravelRoot(app.folder, ['sh', '-c', command])
    if (code !== 0) throw new Error(`${command} ended with ${code}\n${stdout}${stderr}`)
    said += stdout + stderr
  }
  return said
}

/** What a developer has before the first step: the framework, a blog of three posts, and not our package. */
export async function createBareApp(): Promise<LaravelApp> {
  const root = await laravelRoot()
  const app = appIn(await temporaryFolder())
  await cp(SKELETON, app.folder, { recursive: true })
  for (const folder of FOLDERS) await mkdir(join(app.folder, folder), { recursive: true })
  await cp(join(root, 'usr/share/php/Illuminate/config'), join(app.folder, 'config'), { recursive: true })
  await cp(PACKAGE, join(app.folder, CLONE, 'packages/laravel'), { recursive: true })
  await app.write('composer.json', composerJson(root))
  await addToEnv(app, {
    APP_NAME: 'Blog',
    APP_ENV: 'local',
    APP_KEY: `base64:${randomBytes(32).toString('base64')}`,
    APP_DEBUG: 'false',
    DB_CONNECTION: 'sqlite',
    SESSION_DRIVER: 'array',
    CACHE_STORE: 'array',
    QUEUE_CONNECTION: 'database',
    LOG_CHANNEL: 'single',
  })
  await app.write('database/database.sqlite', '')
  // Created now, so that it belongs to the web server's user even if root's command is the first to log.
  await app.write('storage/logs/laravel.log', '')
  const steps = [
    ['composer', 'install', '--quiet'],
    ['php', 'artisan', 'migrate', '--force', '--seed'],
  ]
  for (const command of steps) {
    const { code, stdout, stderr } = await inLaravelRoot(app.folder, command)
    if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}\n${stdout}${stderr}`)
  }
  return app
}

/**
 * Declares what Debian's packages replace: Composer reaches no registry from here, but finds all that our package requires, and
 * checks the versions.
 */
function composerJson(root: string): string {
  const { laravel, amqplib } = laravelVersions(root)
  const { require } = JSON.parse(readFileSync(join(PACKAGE, 'composer.json'), 'utf8')) as {
    require: Record<string, string>
  }
  const framework = Object.keys(require).filter(name => name.startsWith('illuminate/'))
  return JSON.stringify(
    {
      name: 'blog/blog',
      type: 'project',
      require: { php: '^8.2' },
      replace: {
        ...Object.fromEntries([...framework, 'laravel/framework'].map(name => [name, laravel])),
        'php-amqplib/php-amqplib': amqplib,
        // Whichever version Debian's Laravel comes with.
        'guzzlehttp/guzzle': '*',
      },
      repositories: [{ 'packagist.org': false }],
      autoload: {
        'psr-4': { 'App\\': 'app/', 'Database\\Seeders\\': 'database/seeders/' },
        files: ['bootstrap/debian.php'],
      },
      'autoload-dev': { 'psr-4': { 'Tests\\': 'tests/' } },
      scripts: { 'post-autoload-dump': ['@php artisan package:discover'] },
    },
    null,
    4,
  )
}

function appIn(folder: string): LaravelApp {
  const run = (...command: string[]) => inLaravelRoot(folder, command)
  return {
    folder,
    async write(path, text) {
      await mkdir(dirname(join(folder, path)), { recursive: true })
      await writeFile(join(folder, path), text)
    },
    read: path => readFileSync(join(folder, path), 'utf8'),
    async artisan(...args) {
      const outcome = await run('php', 'artisan', ...args)
      // The web server reads and renews the caches.
      await giveToWebUser(folder, CACHES)
      return outcome
    },
    run: code => inLaravelRoot(folder, ['php'], { input: BOOT + code }),
    test: (...args) => run('phpunit', ...args),
    log() {
      const file = join(folder, 'storage/logs/laravel.log')
      return existsSync(file) ? readFileSync(file, 'utf8') : ''
    },
    remove: () => rm(dirname(folder), { recursive: true, force: true, maxRetries: 5 }),
  }
}

/** How `artisan` boots the application before a command. */
const BOOT = `<?php
require 'vendor/autoload.php';
$app = require 'bootstrap/app.php';
$app->make(Illuminate\\Contracts\\Console\\Kernel::class)->bootstrap();
`

async function addToEnv(app: LaravelApp, env: Record<string, string>): Promise<void> {
  const before = existsSync(join(app.folder, '.env')) ? app.read('.env') : ''
  const lines = Object.entries(env).map(([name, value]) => `${name}="${value}"\n`)
  await app.write('.env', before + lines.join(''))
}

/** A folder that the web server's user can reach, with room beside the application. */
async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-laravel-'))
  await chmod(folder, 0o755)
  return join(folder, 'blog')
}

/** As on a server: the web server owns what the application writes to, and the developer everything else. */
async function giveToWebUser(folder: string, paths: readonly string[] = WRITABLE): Promise<void> {
  for (const path of paths) {
    await chown(join(folder, path), WEB_USER, WEB_USER)
    for (const entry of await readdir(join(folder, path), { recursive: true })) {
      await chown(join(folder, path, entry), WEB_USER, WEB_USER)
    }
  }
}
