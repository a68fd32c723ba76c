/** Ways to run a Laravel application: each is its own server on 127.0.0.1 that ends with this process. */

import { existsSync, readFileSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { laravelVersions } from '../stack/laravel-root.ts'
import { holdFreePort } from '../stack/ports.ts'
import { answers, Server, startOnFreePorts } from '../stack/server.ts'
import { commandIn } from '../stack/stacks.ts'
import type { LaravelApp } from './app.ts'
import { laravelRoot, rootEnv } from './root.ts'

export interface LaravelServer {
  /** `http://127.0.0.1:PORT` */
  url: string
  /** What it has printed so far. */
  log(): string
  stop(): Promise<void>
}

const START_TIMEOUT_MS = 30_000
const STOP_TIMEOUT_MS = 20_000
const HTTP_GREETING = 'GET /up HTTP/1.0\r\n\r\n'

/** `php -S`: one request after the other, in one process. */
export function servePhp(app: LaravelApp): Promise<LaravelServer> {
  return startOnFreePorts(async () => {
    const port = await holdFreePort()
    const at = `127.0.0.1:${port.port}`
    const server = await serverIn(app, {
      name: 'php -S',
      command: ['php', '-S', at, '-t', 'public', 'public/index.php'],
      ready: () => answers(port.port, HTTP_GREETING),
    })
    return starting([server], app, 'php -S', `http://${at}`, port.release)
  })
}

export interface FpmOptions {
  /** PHP-FPM workers. */
  workers?: number
}

/** php-fpm behind nginx, both as Debian's www-data: the most common setup. */
export function serveFpm(app: LaravelApp, { workers = 2 }: FpmOptions = {}): Promise<LaravelServer> {
  return startOnFreePorts(async () => {
    const port = await holdFreePort()
    const folder = join(app.folder, 'server')
    const log = join(folder, 'fpm.log')
    // The log of an earlier server would make this one look ready.
    await rm(folder, { recursive: true, force: true })
    await mkdir(folder, { recursive: true })
    const socket = join(folder, 'fpm.sock')
    await app.write('server/fpm.conf', fpmConf(folder, socket, workers))
    await app.write('server/nginx.conf', nginxConf(folder, join(app.folder, 'public'), socket, port.port))
    const { php } = laravelVersions(await laravelRoot())
    const fpm = await serverIn(app, {
      name: 'php-fpm',
      command: [`php-fpm${php}`, '--nodaemonize', '--fpm-config', join(folder, 'fpm.conf')],
      ready: async () => existsSync(log) && readFileSync(log, 'utf8').includes('ready to handle connections'),
    })
    const nginx = await serverIn(app, {
      name: 'nginx',
      command: ['nginx', '-c', join(folder, 'nginx.conf'), '-e', join(folder, 'nginx.log')],
      ready: () => answers(port.port, HTTP_GREETING),
    })
    return starting([fpm, nginx], app, 'php-fpm', `http://127.0.0.1:${port.port}`, port.release)
  })
}

function fpmConf(folder: string, socket: string, workers: number): string {
  return `
[global]
error_log = ${folder}/fpm.log
[www]
user = www-data
group = www-data
listen = ${socket}
listen.owner = www-data
listen.group = www-data
pm = static
pm.max_children = ${workers}
catch_workers_output = yes
`
}

function nginxConf(folder: string, documents: string, socket: string, port: number): string {
  const temporary = ['client_body', 'fastcgi', 'proxy', 'scgi', 'uwsgi']
    .map(name => `${name}_temp_path ${folder}/${name};`)
    .join('\n    ')
  return `
user www-data;
worker_processes 1;
daemon off;
pid ${folder}/nginx.pid;
error_log ${folder}/nginx.log;
events {}
http {
    access_log off;
    ${temporary}
    server {
        listen 127.0.0.1:${port};
        root ${documents};
        location / { try_files $uri /index.php?$query_string; }
        location ~ \\.php$ {
            include /etc/nginx/fastcgi_params;
            fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
            fastcgi_pass unix:${socket};
        }
    }
}
`
}

/** `queue:work`: runs until it is stopped, and retries a job after a second. */
export async function workQueue(app: LaravelApp, ...args: string[]): Promise<LaravelServer> {
  const server = await serverIn(app, {
    name: 'queue:work',
    command: ['php', 'artisan', 'queue:work', '--sleep=0.1', ...args],
    ready: async () => true,
  })
  return starting([server], app, 'queue:work', '', () => {})
}

/** One process that boots the application once and handles each request in a clone of it, as Octane's workers do. */
export function serveWorkerLoop(app: LaravelApp): Promise<LaravelServer> {
  return startOnFreePorts(async () => {
    const port = await holdFreePort()
    await app.write('worker-loop.php', readFileSync(join(import.meta.dirname, 'worker-loop.php'), 'utf8'))
    const server = await serverIn(app, {
      name: 'worker loop',
      command: ['php', 'worker-loop.php', `127.0.0.1:${port.port}`],
      ready: () => answers(port.port, HTTP_GREETING),
    })
    return starting([server], app, 'worker loop', `http://127.0.0.1:${port.port}`, port.release)
  })
}

async function serverIn(
  app: LaravelApp,
  { name, command, ready }: { name: string; command: string[]; ready: () => Promise<boolean> },
): Promise<Server> {
  return new Server({
    name,
    command: commandIn(await laravelRoot(), app.folder, command),
    env: rootEnv({}),
    cwd: app.folder,
    logFile: logFileOf(app, name),
    ready,
    startTimeoutMs: START_TIMEOUT_MS,
    stopTimeoutMs: STOP_TIMEOUT_MS,
  })
}

function logFileOf(app: LaravelApp, name: string): string {
  return join(app.folder, `${name.replaceAll(/\W+/g, '-')}.log`)
}

async function starting(
  servers: Server[],
  app: LaravelApp,
  name: string,
  url: string,
  release: () => void,
): Promise<LaravelServer> {
  const stop = async () => {
    for (const server of servers.toReversed()) await server.stop()
    release()
  }
  try {
    for (const server of servers) await server.start()
  } catch (error) {
    await stop()
    throw error
  }
  return { url, log: () => readFileSync(logFileOf(app, name), 'utf8'), stop }
}
