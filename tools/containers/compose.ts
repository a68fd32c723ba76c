/**
 * Runs a compose file with podman, as `docker compose` would: names, settings, health checks, volumes and limits come from the
 * file. An unknown key is an error, so that nothing in the file is ignored silently. (Debian 12 has podman-compose 1.0.3, which
 * supports neither profiles nor the conditions of `depends_on`, and would start both databases.)
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

/** How each key becomes options of `podman run`; keys with `null` are handled elsewhere. */
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
  // Unlike Docker, podman makes /tmp, /run and /var/tmp of a read-only container writable unless this option is false.
  read_only: readOnly => (readOnly ? ['--read-only', '--read-only-tmpfs=false'] : []),
  cap_drop: names => names.map(name => `--cap-drop=${name}`),
  security_opt: options => options.map(option => `--security-opt=${option.replace(/:true$/, '')}`),
  // Without notmpcopyup, podman copies the image's files at that path into it.
  tmpfs: paths => paths.map(path => `--tmpfs=${path}:notmpcopyup`),
  volumes: (volumes, compose) =>
    volumes.map(volume => {
      const [source, ...rest] = volume.split(':')
      const from = source!.startsWith('.') ? resolve(compose.folder, source!) : compose.named(source!)
      return `--volume=${[from, ...rest].join(':')}`
    }),
  ports: ports => ports.map(port => `--publish=${port}`),
  // This process can only lower limits. When one limit is given, podman applies its own defaults to the others.
  ulimits: ({ nofile: { soft, hard } }) => {
    const most = limit('nofile')
    return [`--ulimit=nofile=${Math.min(soft, most)}:${Math.min(hard, most)}`, '--ulimit=nproc=4096:4096']
  },
  mem_limit: size => [`--memory=${size}`],
  restart: policy => [`--restart=${policy}`],
  stop_grace_period: time => [`--stop-timeout=${seconds(time)}`],
  stop_signal: signal => [`--stop-signal=${signal}`],
  // The same driver has another name in podman, and there it has no option for the number of files.
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
  /** The services of the chosen profiles. */
  readonly #services: Map<string, Service>
  /** Services that this process has started. Each promise also waits for what the service depends on. */
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

  /** Reads the file, and the `.env` beside it. @throws {Error} for a required variable that is not set, and for an unknown key */
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
    // Variables are replaced after parsing, so that an empty one becomes an empty string, not null.
    const file = parse(
      await readFile(path, 'utf8'),
      (_, value) => (typeof value === 'string' ? filledIn(value) : value),
      {
        merge: true,
      },
    )
    return new Compose(folder, file, profiles)
  }

  /** The name of a volume or network outside of the file. */
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

  /** Starts what does not run, and recreates containers whose image or settings have changed. */
  async up({ wait }: { wait: boolean }): Promise<void> {
    await this.#makeNetworks()
    const names = [...this.#services.keys()]
    await Promise.all(names.map(name => this.#start(name)))
    if (wait) await Promise.all(names.map(name => this.#untilHealthy(name)))
  }

  /** Stops all running containers, or those named. Each gets the grace period of the file. */
  async stop(names: string[]): Promise<void> {
    const stopped = names.length > 0 ? names : [...this.#services.keys()]
    // Dependents stop before what they depend on.
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

  /** The command line of an extra container of the service, with its own command. What the service depends on is started first. */
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

  /**
   * Runs the health check of the file, but more often.
   * @throws {Error} with the last lines of the log when the container ends, or is not healthy in time
   */
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

/** Parses durations as compose writes them: `10s`, `2m`. */
export function seconds(time: string): number {
  const [, count, unit] = /^(\d+)([sm])$/.exec(time) ?? []
  if (count === undefined) throw new Error(`${time} is not known`)
  return Number(count) * (unit === 'm' ? 60 : 1)
}
