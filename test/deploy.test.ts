/** The files in deploy/ are held to the code they deploy. */

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { readConfig as readBlogConfig } from '../examples/blog/src/config.ts'
import { readConfig as readPanelConfig } from '../packages/admin/src/config.ts'
import { readConfig as readServiceConfig } from '../packages/analytics/src/config.ts'
import { createMetrics } from '../packages/analytics/src/metrics.ts'
import { readRelayConfig } from '../packages/client/src/relay/config.ts'
import { RELAY_METRICS } from '../packages/client/src/relay/metrics.ts'
import { RABBITMQ_METRICS } from './support/rabbitmq-metrics.ts'

const ROOT = resolve(import.meta.dirname, '..')

/** What Prometheus adds. */
const EVERY_LABEL = ['job', 'instance', 'le']
const PROMQL_WORDS = new Set(['and', 'or', 'unless', 'by', 'on', 'offset'])

interface Alert {
  alert: string
  expr: string
  for: string
  labels: { severity: string }
  annotations: { summary: string; description: string; runbook_url: string }
}

interface Part {
  image: string
  build?: { context: string; dockerfile: string }
  command?: string[]
  profiles?: string[]
  environment?: Record<string, string>
  ports?: string[]
  volumes?: string[]
  networks?: string[] | Record<string, { aliases?: string[] }>
  depends_on?: Record<string, { condition: string }>
  healthcheck?: { test: string[] }
  restart?: string
  read_only?: boolean
  cap_drop?: string[]
  security_opt?: string[]
  stop_grace_period?: string
  user?: string
}

interface Compose {
  services: Record<string, Part>
  volumes: Record<string, unknown>
}

interface Prometheus {
  rule_files: string[]
  scrape_configs: {
    job_name: string
    dns_sd_configs?: { names: string[]; port: number }[]
    static_configs?: { targets: string[] }[]
  }[]
}

interface Dashboard {
  title: string
  panels: { title: string; targets?: { expr: string }[] }[]
  annotations: { list: { expr: string }[] }
}

const text = (path: string) => readFile(join(ROOT, path), 'utf8')
const composeText = await text('deploy/compose.yaml')
const compose: Compose = parse(composeText, { merge: true })
const prometheus: Prometheus = parse(await text('deploy/prometheus/prometheus.yml'))
const alertGroups: { groups: { rules: Alert[] }[] } = parse(await text('deploy/prometheus/alerts.yml'))
const alerts = alertGroups.groups.flatMap(({ rules }) => rules)
const dashboard: Dashboard = JSON.parse(await text('deploy/grafana/dashboard.json'))
const dockerfile = await text('deploy/Dockerfile')
const parts = Object.entries(compose.services)
const ours = parts.filter(([, { build }]) => build !== undefined)

test('each file that no test runs says so', async () => {
  for (const [path, untried] of [
    ['clickhouse/cluster.xml', /Not run in a container/],
    ['clickhouse/users.xml', /Not run in a container/],
    ['grafana/dashboard.json', /Not seen in Grafana/],
    ['kubernetes.yaml', /not applied to a cluster/],
  ] as const) {
    const head = (await text(`deploy/${path}`)).split('\n').slice(0, 6).join(' ').replaceAll(/ # ?/g, ' ')
    assert.match(head, untried, path)
  }
})

/** The newest of each that the tests run on; ClickHouse is that of tools/clickhouse. */
const TESTED = { rabbitmq: '4.3', mariadb: '11.8', 'clickhouse-1': '26.7', 'clickhouse-2': '26.7' }

test('the servers are of the versions that the tests run on', async () => {
  const { dependencies } = JSON.parse(await text('tools/clickhouse/package.json'))
  assert.ok(dependencies['@chdb/lib-linux-x64-gnu'].startsWith(`${TESTED['clickhouse-1']}.`))
  for (const [service, version] of Object.entries(TESTED))
    assert.equal(compose.services[service]?.image.split(':')[1], version, service)
})

test('every metric that an alert or the dashboard asks for is there, with the labels it is asked by', () => {
  const labelsOf = new Map<string, string[]>()
  for (const metric of createMetrics().registry.getMetricsAsArray()) {
    const labels = 'labelNames' in metric ? (metric.labelNames as string[]) : []
    const names =
      String(metric.type) === 'histogram'
        ? ['_bucket', '_sum', '_count'].map(end => metric.name + end)
        : [metric.name]
    for (const name of names) labelsOf.set(name, labels)
  }
  for (const { name } of RELAY_METRICS)
    labelsOf.set(`postviews_relay_${name}`, name === 'refused_total' ? ['reason'] : [])
  labelsOf.set('up', [])
  for (const name of RABBITMQ_METRICS) labelsOf.set(name, ['queue', 'vhost'])

  const queries = [
    ...alerts.map(({ alert, expr }) => ({ from: alert, expr })),
    ...dashboard.panels.flatMap(({ title, targets = [] }) =>
      targets.map(({ expr }) => ({ from: title, expr })),
    ),
    ...dashboard.annotations.list.map(({ expr }) => ({ from: 'annotations', expr })),
  ]
  assert.ok(queries.length > 50)
  for (const { from, expr } of queries) {
    const names = metricsIn(expr)
    assert.ok(names.length > 0, `${from} asks for nothing`)
    for (const name of names) assert.ok(labelsOf.has(name), `${from}: there is no metric ${name}`)
    for (const [, name, matchers] of expr.matchAll(/(\w+)\{([^}]*)\}/g)) {
      for (const [, label] of matchers!.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"/g))
        assert.ok(
          [...labelsOf.get(name!)!, ...EVERY_LABEL].includes(label!),
          `${from}: ${name} has no ${label}`,
        )
    }
  }
})

/** The names of metrics in a query: what is left without its texts, selectors, ranges, groupings and functions. */
function metricsIn(expr: string): string[] {
  const bare = expr
    .replaceAll(/"[^"]*"/g, '')
    .replaceAll(/\{[^}]*\}/g, ' ')
    .replaceAll(/\[[^\]]*\]/g, ' ')
    .replaceAll(/\b(?:by|on|without|ignoring) *\([^)]*\)/g, ' ')
    .replaceAll(/\boffset \w+/g, ' ')
  return [...bare.matchAll(/\b[a-z_]\w*\b(?! *\()/g)]
    .map(([name]) => name)
    .filter(name => !PROMQL_WORDS.has(name))
}

test('every alert says what is wrong, has a section of its own in operations, and is tried', async () => {
  const operations = await text('docs/operations.md')
  const section = operations.split('\n## When an alert fires\n')[1]?.split('\n## ')[0]
  assert.ok(section !== undefined)
  const headings = [...section.matchAll(/^### (.*)$/gm)].map(([, heading]) => heading!)
  assert.deepEqual(
    headings,
    alerts.map(({ alert }) => alert),
  )

  const trials = await text('deploy/prometheus/alerts.test.yml')
  for (const { alert, labels, annotations, for: patience } of alerts) {
    assert.match(labels.severity, /^(critical|warning)$/, alert)
    assert.match(patience, /^\d+[mhd]$/, alert)
    assert.ok(annotations.summary && annotations.description, alert)
    assert.equal(annotations.runbook_url, `docs/operations.md#${alert.toLowerCase()}`)
    assert.ok(trials.includes(`alertname="${alert}"`), `${alert} is not tried`)
  }
})

test('Prometheus finds its rules, and what it asks is in the compose file', () => {
  for (const file of prometheus.rule_files) assert.ok(existsSync(join(ROOT, 'deploy/prometheus', file)), file)
  const names = new Set(parts.flatMap(([name, { networks = [] }]) => [name, ...aliasesIn(networks)]))
  for (const { job_name, dns_sd_configs = [], static_configs = [] } of prometheus.scrape_configs) {
    const asked = [
      ...dns_sd_configs.flatMap(config => config.names),
      ...static_configs.flatMap(({ targets }) => targets.map(target => target.split(':')[0]!)),
    ]
    assert.ok(asked.length > 0, job_name)
    for (const name of asked) assert.ok(names.has(name), `${job_name} asks ${name}`)
  }
})

function aliasesIn(networks: NonNullable<Part['networks']>): string[] {
  return Array.isArray(networks) ? [] : Object.values(networks).flatMap(({ aliases = [] }) => aliases)
}

/** What reads the environment of a part of ours. */
function configOf({ command }: Part): (env: Record<string, string | undefined>) => unknown {
  if (command?.[1] === 'packages/admin/src/main.ts') return readPanelConfig
  if (command?.[1] === 'examples/blog/src/main.ts') return readBlogConfig
  if (command?.[0] === 'postviews-relay') return readRelayConfig
  assert.equal(command?.[0], 'postviews')
  return env => readServiceConfig(env, { apiKey: command[1] !== 'consume' })
}

/** The names that are read, seen by whoever is asked for them. */
function settingsOf(part: Part): Set<string> {
  const names = new Set<string>()
  const env = new Proxy<Record<string, string | undefined>>(
    {},
    { get: (_, name) => void names.add(String(name)) },
  )
  try {
    configOf(part)(env)
  } catch {
    // Nothing is set, and something has to be: only what was asked for matters here.
  }
  return names
}

/** As compose fills it in: what has to be set is, the rest is left out. */
function filledIn(value: string): string {
  return value.replaceAll(/\$\{\w+:\?[^}]*\}/g, 'a'.repeat(48)).replaceAll(/\$\{\w+:-([^}]*)\}/g, '$1')
}

test('every setting in the compose file is one that its program reads, with a value that it takes', () => {
  assert.ok(ours.length >= 5)
  for (const [name, part] of ours) {
    const settings = settingsOf(part)
    for (const variable of Object.keys(part.environment ?? {}))
      assert.ok(settings.has(variable), `${name} does not read ${variable}`)
    const entries = Object.entries(part.environment ?? {}).map(([key, value]) => [key, filledIn(value)])
    configOf(part)({ HOST: '0.0.0.0', PORT: '3100', ...Object.fromEntries(entries) })
  }
})

test('nothing starts with a password or key that it came with', async () => {
  for (const [name, { environment = {} }] of parts) {
    for (const [variable, value] of Object.entries(environment)) {
      const hasSecret = /PASS|KEY|SECRET/.test(variable) || /:\/\/[^/]*@/.test(value)
      if (hasSecret && !/RANDOM|SKIP/.test(variable))
        assert.match(value, /\$\{\w+:\?/, `${name}: ${variable}`)
    }
  }
  const example = new Map(
    (await text('deploy/env.example'))
      .split('\n')
      .filter(line => /^\w/.test(line))
      .map(line => line.split('=', 2) as [string, string]),
  )
  for (const [, required] of composeText.matchAll(/\$\{(\w+):\?/g))
    assert.equal(example.get(required!), '', required)
  for (const name of example.keys()) {
    if (name !== 'COMPOSE_PROFILES') assert.ok(composeText.includes(`\${${name}:`), `${name} is used nowhere`)
  }
})

test('every container is confined, and reached from this machine alone', () => {
  for (const [name, part] of parts) {
    assert.equal(part.read_only, true, name)
    assert.deepEqual(part.cap_drop, ['ALL'], name)
    assert.deepEqual(part.security_opt, ['no-new-privileges:true'], name)
    assert.equal(part.restart, 'unless-stopped', name)
    for (const port of part.ports ?? []) assert.match(port, /^127\.0\.0\.1:(\d+):\1$/, name)
    if (part.build === undefined) assert.match(part.image, /:v?\d+\.\d+/, `${name} has no version`)
  }
  // `postviews` promises to end within 20 s.
  for (const [name, { stop_grace_period }] of ours) assert.equal(stop_grace_period, '30s', name)
})

test('what a container waits for and mounts is there', () => {
  for (const [name, { depends_on = {}, volumes = [], profiles = [] }] of parts) {
    for (const [other, { condition }] of Object.entries(depends_on)) {
      const needed = compose.services[other]
      assert.ok(needed !== undefined, `${name} waits for ${other}`)
      assert.ok(
        condition !== 'service_healthy' || needed.healthcheck !== undefined,
        `${other} is never healthy`,
      )
      // A part without a profile always starts, and then what it waits for has to.
      assert.ok(profiles.length > 0 || needed.profiles === undefined, `${name} waits for ${other}`)
    }
    for (const volume of volumes) {
      const source = volume.split(':')[0]!
      if (source.startsWith('.')) assert.ok(existsSync(join(ROOT, 'deploy', source)), volume)
      else assert.ok(source in compose.volumes, volume)
    }
  }
})

test('the relay and the page beside it share a socket and a group, and the spool is its own', () => {
  const { relay, php } = compose.services as { relay: Part; php: Part }
  const path = relay.environment!['RELAY_SOCKET']!
  assert.equal(php.environment!['RELAY_SOCKET'], path)
  const [, group] = /^1000:(\d+)$/.exec(relay.user!)!
  // In its images made of Debian.
  assert.deepEqual([php.user, group, /alpine/.test(php.image)], ['www-data', '33', false])
  const mounts = ({ volumes = [] }: Part) =>
    new Map(volumes.map(volume => volume.split(':') as [string, string]))
  const shared = [...mounts(relay)].filter(([source]) => mounts(php).has(source))
  assert.equal(shared.length, 1)
  const [[source, folder]] = shared as [[string, string]]
  assert.equal(dirname(path), folder)
  assert.ok(php.volumes!.includes(`${source}:${folder}:ro`))
  // New volumes take owner and mode from what they cover.
  assert.match(dockerfile, new RegExp(`install -d -m 755 -o node -g node ${folder}\\n`))
  const [, kept] = [...mounts(relay)].find(([name]) => name !== source)!
  assert.ok(relay.environment!['RELAY_SPOOL']!.startsWith(`${kept}/`))
  assert.match(dockerfile, new RegExp(`install -d -m 700 -o node -g node ${kept} `))
})

test('what asks a relay for its health asks at RELAY_PORT', () => {
  const { relay } = compose.services as { relay: Part }
  const port = relay.environment!['RELAY_PORT']
  const scraped = prometheus.scrape_configs.find(({ job_name }) => job_name === 'postviews-relay')
  assert.equal(scraped?.dns_sd_configs?.[0]?.port, Number(port))
  for (const check of [dockerfile, relay.healthcheck!.test.join(' ')])
    assert.ok(
      check.includes("'http://127.0.0.1:' + (process.env.RELAY_PORT || process.env.PORT) + '/"),
      check,
    )
})

test('no profile starts consumers of two databases: they would share one queue', () => {
  const databases = new Map<string, Set<string>>()
  for (const [name, { profiles, environment }] of ours) {
    const url = environment?.['DATABASE_URL']
    if (url === undefined) continue
    assert.ok(profiles !== undefined, `${name} always starts`)
    for (const profile of profiles) databases.set(profile, (databases.get(profile) ?? new Set()).add(url))
  }
  assert.ok(databases.size >= 3)
  for (const [profile, urls] of databases) assert.equal(urls.size, 1, profile)
})

test('the image has the Node that the tests run on, and every workspace', async () => {
  const { devDependencies, workspaces } = JSON.parse(await text('package.json'))
  const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, base]) => base)
  assert.ok(bases.length === 2 && bases.every(base => base === `node:${devDependencies.node}-bookworm-slim`))
  const copied = [...dockerfile.matchAll(/^COPY (\S+)\/package\.json \1\/$/gm)].map(
    ([, workspace]) => workspace,
  )
  const installed = [...dockerfile.matchAll(/ -w (\S+)/g)].map(([, workspace]) => workspace)
  assert.deepEqual(copied, workspaces)
  assert.deepEqual(installed, workspaces)

  const kept = (await text('.dockerignore')).split('\n').filter(line => line.startsWith('!'))
  for (const [, source] of dockerfile.matchAll(/^COPY ((?!--from)\S+)/gm))
    assert.ok(
      kept.some(line => source!.startsWith(line.slice(1))),
      `${source} is ignored`,
    )
})

test('process 1 is Node: no script in between, and no shell', async () => {
  assert.match(dockerfile, /^ENTRYPOINT \[\]$/m)
  assert.match(dockerfile, /^CMD \["postviews", "serve"\]$/m)
  assert.match(dockerfile, /^STOPSIGNAL SIGTERM$/m)
  assert.match(dockerfile, /^USER node$/m)
  const programs = [...dockerfile.matchAll(/ln -s \/app\/(\S+) \/usr\/local\/bin\/postviews(?:-relay)? /g)]
  assert.equal(programs.length, 2)
  for (const [, program] of programs)
    assert.ok((await text(program!)).startsWith('#!/usr/bin/env node\n'), program)
  for (const [name, { command }] of ours) {
    assert.ok(Array.isArray(command), name)
    for (const file of command.filter(word => word.endsWith('.ts')))
      assert.ok(existsSync(join(ROOT, file)), file)
  }
})
