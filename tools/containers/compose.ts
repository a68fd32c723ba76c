/**
 * Runs a compose file with podman, as `docker compose` would: names, settings, health checks, volumes and limits are the file's own. A key that
 * is not known here is an error, so that nothing of the file is passed over in silence. (Debian 12 has podman-compose 1.0.3, which knows neither
 * profiles nor the conditions of `depends_on`, and would start both databases.)
 */

import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parse } from 'yaml'
import { limit, onOuterNetwork } from './namespaces.ts'
import { output, podman } from './podman.ts'

interface HealthCheck {
  test: string[]
  interval: string
  timeout: string
  retries: number
  start_period: string
}

interface Service {
  image: string
  build?: { context: string; dockerfile: string }
  command?: string[]
  profiles?: string[]
  hostname?: string
  user?: string
  environment?: Record<string, string>
  read_only?: boolean
  cap_drop?: string[]
  security_opt?: string[]
  tmpfs?: string[]
  volumes?: string[]
  ports?: string[]
  networks?: string[] | Record<string, { aliases?: string[] } | null>
  ulimits?: { nofile: { soft: number; hard: number } }
  mem_limit?: string
  restart?: string
  stop_grace_period?: string
  stop_signal?: string
  logging?: { driver: string; options: Record<string, string> }
  healthcheck?: HealthCheck
  depends_on?: Record<string, { condition: string }>
}

interface File {
  name: string
  services: Record<string, Service>
  networks: Record<string, { internal?: boolean } | null>
  volumes: Record<string, null>
}

/** How each key becomes options of `podman run`; those with `null` are seen to elsewhere. */
const OPTIONS: {
  [Key in keyof Required<Service>]: ((value: NonNullable<Service[Key]>, compose: Compose) => string[]) | null
} = {
  image: null,
  build: null,
  command: null,
  profiles: null,
  networks: null,
  depends_on: null,
  hostname: name => [`--hostname=${name}`],
  user: user => [`--user=${user}`],
  environment: variables => Object.entries(variables).map(([name, value]) => `--env=${name}=${value}`),
  // Unlike Docker, podman makes /tmp, /run and /var/tmp writable in a read-only container, unless it is told not to.
  read_only: readOnly => (readOnly ? ['--read-only', '--read-only-tmpfs=false'] : []),
  cap_drop: names => names.map(name => `--cap-drop=${name}`),
  security_opt: options => options.map(option => `--security-opt=${option.replace(/:true$/, '')}`),
  // podman would otherwise fill it with what the image has there.
  tmpfs: paths => paths.map(path => `--tmpfs=${path}:notmpcopyup`),
  volumes: (volumes, compose) =>
    volumes.map(volume => {
      const [source, ...rest] = volume.split(':')
      const from = source!.startsWith('.') ? resolve(compose.folder, source!) : compose.named(source!)
      return `--volume=${[from, ...rest].join(':')}`
    }),
  ports: ports => ports.map(port => `--publish=${port}`),
  // A limit may only be lowered here; where one is given, podman takes its own for the others.
  ulimits: ({ nofile: { soft, hard } }) => {
    const most = limit('nofile')
    return [`--ulimit=nofile=${Math.min(soft, most)}:${Math.min(hard, most)}`, '--ulimit=nproc=4096:4096']
  },
  mem_limit: size => [`--memory=${size}`],
  restart: policy => [`--restart=${policy}`],
  stop_grace_period: time => [`--stop-timeout=${seconds(time)}`],
  stop_signal: signal => [`--stop-signal=${signal}`],
  // Under its own name for the same driver, which knows of no number of files.
  logging: ({ driver, options }) => [
    `--log-driver=${driver === 'json-file' ? 'k8s-file' : driver}`,
    `--log-opt=max-size=${options['max-size']}b`,
  ],
  healthcheck: ({ test: [kind, ...command], interval, timeout, retries, start_period }) => [
    `--health-cmd=${JSON.stringify(kind === 'CMD' ? command : [kind, ...command])}`,
    `--health-interval=${interval}`,
    `--health-timeout=${timeout}`,
    `--health-retries=${retries}`,
    `--health-start-period=${start_period}`,
  ],
}

const CONFIG_LABEL = 'compose.config'
const HEALTH_PAUSE_MS = 1_000

export class Compose {
  readonly folder: string
  readonly #file: File
  /** Those of the profiles that were chosen. */
  readonly #services: Map<string, Service>
  /** What was started by this process, and waits for what it depends on. */
  readonly #started = new Map<string, Promise<void>>()

  private constructor(folder: string, file: File, profiles: string[]) {
    this.folder = folder
    this.#file = file
    const isChosen = ({ profiles: of }: Service) =>
      of === undefined || of.some(each => profiles.includes(each))
    this.#services = new Map(Object.entries(file.services).filter(([, service]) => isChosen(service)))
    for (const [name, service] of this.#services) {
      for (const key of Object.keys(service))
        if (!(key in OPTIONS)) throw new Error(`${name}: ${key} is not known`)
    }
  }

  /** Reads the file, and the `.env` beside it. @throws {Error} for a variable that has to be set, and for what is not known */
  static async read(path: string): Promise<Compose> {
    const folder = dirname(resolve(path))
    const variables = new Map(
      (await readFile(resolve(folder, '.env'), 'utf8'))
        .split('\n')
        .filter(line => /^\w/.test(line))
        .map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const),
    )
    const filledIn = (text: string) =>
      text.replaceAll(/\$\{(\w+)(?::([-?])([^}]*))?\}/g, (_, name: string, kind?: string, rest = '') => {
        const value = variables.get(name) || (kind === '-' ? rest : '')
        if (value === '' && kind === '?') throw new Error(`${name} is not set: ${rest}`)
        return value
      })
    const profiles = (variables.get('COMPOSE_PROFILES') ?? '').split(',')
    // Values are filled in after the file was parsed: an empty one is a text, and not nothing.
    const file = parse(
      await readFile(path, 'utf8'),
      (_, value) => (typeof value === 'string' ? filledIn(value) : value),
      {
        merge: true,
      },
    )
    return new Compose(folder, file, profiles)
  }

  /** As it is called outside of the file: a volume, a network. */
  named(name: string): string {
    return `${this.#file.name}_${name}`
  }

  containerOf(service: string): string {
    return `${this.#file.name}-${service}-1`
  }

  #service(name: string): Service {
    const service = this.#services.get(name)
    if (service === undefined) throw new Error(`there is no service ${name} in the profiles that were chosen`)
    return service
  }

  async build(): Promise<void> {
    const builds = new Map<string, NonNullable<Service['build']>>()
    for (const { image, build } of this.#services.values()) if (build !== undefined) builds.set(image, build)
    for (const [image, { context, dockerfile }] of builds) {
      const folder = resolve(this.folder, context)
      const options = ['--network=host', '--file', resolve(folder, dockerfile), '--tag', image]
      const [program, ...args] = onOuterNetwork(['podman', 'build', '--quiet', ...options, folder])
      await output(program!, ...args)
    }
  }

  /** Starts what does not run, and makes anew what is of another image or of other settings. */
  async up({ wait }: { wait: boolean }): Promise<void> {
    await this.#makeNetworks()
    const names = [...this.#services.keys()]
    await Promise.all(names.map(name => this.#start(name)))
    if (wait) await Promise.all(names.map(name => this.#untilHealthy(name)))
  }

  /** All that run, or those named; each has as long as the file gives it. */
  async stop(names: string[]): Promise<void> {
    const stopped = names.length > 0 ? names : [...this.#services.keys()]
    // What depends on others first, as they would be missed.
    const left = new Set(stopped)
    while (left.size > 0) {
      const last = [...left].filter(
        name => ![...left].some(other => name in (this.#service(other).depends_on ?? {})),
      )
      await Promise.all(last.map(name => podman('stop', '--ignore', this.containerOf(name))))
      for (const name of last) left.delete(name)
    }
  }

  async down({ volumes }: { volumes: boolean }): Promise<void> {
    await this.stop([])
    const names = [...this.#services.keys()]
    await podman('rm', '--force', '--ignore', ...names.map(name => this.containerOf(name)))
    if (volumes)
      for (const name of Object.keys(this.#file.volumes))
        await podman('volume', 'rm', '--force', this.named(name))
    for (const name of Object.keys(this.#file.networks))
      await podman('network', 'rm', '--force', this.named(name))
  }

  /** The command line of one more container of a service, for a command of its own; what it depends on is started first. */
  async once(name: string, command: string[]): Promise<string[]> {
    await this.#makeNetworks()
    await this.#startNeeded(name)
    const { ports: _, healthcheck: __, restart: ___, ...service } = this.#service(name)
    return [
      'podman',
      'run',
      '--rm',
      '--interactive',
      ...this.#options(name, service),
      service.image,
      ...command,
    ]
  }

  async #makeNetworks(): Promise<void> {
    for (const [name, settings] of Object.entries(this.#file.networks)) {
      const exists = await podman('network', 'exists', this.named(name)).then(
        () => true,
        () => false,
      )
      if (!exists)
        await podman('network', 'create', ...(settings?.internal ? ['--internal'] : []), this.named(name))
    }
  }

  #start(name: string): Promise<void> {
    const started = this.#started.get(name) ?? this.#startAfterNeeded(name)
    this.#started.set(name, started)
    return started
  }

  async #startAfterNeeded(name: string): Promise<void> {
    await this.#startNeeded(name)
    const service = this.#service(name)
    const container = this.containerOf(name)
    const imageId = await podman('image', 'inspect', '--format', '{{.Id}}', service.image)
    const options = this.#options(name, service)
    const config = createHash('sha256')
      .update(JSON.stringify([imageId, options, service.command]))
      .digest('hex')
    const format = `{{index .Config.Labels "${CONFIG_LABEL}"}} {{.State.Status}}`
    const [there, status] = (
      await podman('container', 'inspect', '--format', format, container).catch(() => '')
    ).split(' ')
    if (there === config) {
      if (status !== 'running') await podman('start', container)
      return
    }
    if (there !== undefined && there !== '') {
      await podman('stop', '--ignore', container)
      await podman('rm', container)
    }
    const label = `--label=${CONFIG_LABEL}=${config}`
    await podman(
      'run',
      '--detach',
      `--name=${container}`,
      label,
      ...options,
      service.image,
      ...(service.command ?? []),
    )
  }

  async #startNeeded(name: string): Promise<void> {
    await Promise.all(
      Object.entries(this.#service(name).depends_on ?? {}).map(async ([needed, { condition }]) => {
        await this.#start(needed)
        if (condition !== 'service_healthy')
          throw new Error(`${name}: the condition ${condition} is not known`)
        await this.#untilHealthy(needed)
      }),
    )
  }

  #options(name: string, service: Service): string[] {
    const options = Object.entries(service).flatMap(([key, value]) => {
      const made = OPTIONS[key as keyof Service] as ((value: unknown, compose: Compose) => string[]) | null
      return made === null ? [] : made(value, this)
    })
    const { networks = ['default'] } = service
    const entries = Array.isArray(networks)
      ? networks.map(each => [each, null] as const)
      : Object.entries(networks)
    for (const [network, settings] of entries) {
      const aliases = [name, ...(settings?.aliases ?? [])].map(alias => `alias=${alias}`)
      options.push(`--network=${this.named(network)}:${aliases.join(',')}`)
    }
    return options
  }

  /** Asks as the file says, but more often. @throws {Error} with its last lines when it ends, or is not healthy in time */
  async #untilHealthy(name: string): Promise<void> {
    const container = this.containerOf(name)
    const { healthcheck } = this.#service(name)
    const patience = healthcheck
      ? seconds(healthcheck.start_period) + healthcheck.retries * seconds(healthcheck.interval)
      : 30
    const deadline = Date.now() + patience * 1_000
    for (;;) {
      const status = await podman('container', 'inspect', '--format', '{{.State.Status}}', container)
      const answer = healthcheck ? await podman('healthcheck', 'run', container).then(() => '', String) : ''
      if (status === 'running' && answer === '') return
      if (status !== 'running' || Date.now() > deadline) {
        const log = await podman('logs', '--tail=20', container).catch(String)
        throw new Error(`${name} is ${status}, and not healthy within ${patience} s: ${answer}\n${log}`)
      }
      await sleep(HEALTH_PAUSE_MS)
    }
  }
}

/** As compose writes them: `10s`, `2m`. */
export function seconds(time: string): number {
  const [, count, unit] = /^(\d+)([sm])$/.exec(time) ?? []
  if (count === undefined) throw new Error(`${time} is not known`)
  return Number(count) * (unit === 'm' ? 60 : 1)
}
