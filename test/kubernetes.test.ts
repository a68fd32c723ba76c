/** deploy/kubernetes.yaml is held to Kubernetes' own schema, and to the programs that it runs. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { Deployment, type IDeployment } from 'kubernetes-models/apps/v1'
import { type IPodDisruptionBudget, PodDisruptionBudget } from 'kubernetes-models/policy/v1'
import {
  ConfigMap,
  type IConfigMap,
  type IContainer,
  type IPod,
  type IService,
  Pod,
  Service,
} from 'kubernetes-models/v1'
import { parse, parseAllDocuments } from 'yaml'
import { readConfig as readPanelConfig } from '../packages/admin/src/config.ts'
import { readConfig as readServiceConfig } from '../packages/analytics/src/config.ts'
import { readRelayConfig } from '../packages/client/src/relay/config.ts'

const ROOT = resolve(import.meta.dirname, '..')
const PATH = join(ROOT, 'deploy/kubernetes.yaml')

/** Each kind by what checks it, and where its type is. */
const KINDS = {
  ConfigMap: { model: ConfigMap, type: 'IConfigMap', from: 'kubernetes-models/v1' },
  Service: { model: Service, type: 'IService', from: 'kubernetes-models/v1' },
  Deployment: { model: Deployment, type: 'IDeployment', from: 'kubernetes-models/apps/v1' },
  PodDisruptionBudget: {
    model: PodDisruptionBudget,
    type: 'IPodDisruptionBudget',
    from: 'kubernetes-models/policy/v1',
  },
} as const

type Item = IConfigMap | IService | IDeployment | IPodDisruptionBudget

const text = await readFile(PATH, 'utf8')
const items: Item[] = parseAllDocuments(text).map(document => document.toJS())

function ofKind<Kind extends Item['kind']>(kind: Kind): Extract<Item, { kind: Kind }>[] {
  return items.filter((item): item is Extract<Item, { kind: Kind }> => item.kind === kind)
}

const deployments = ofKind('Deployment').map(({ metadata, spec }) => {
  const pod = spec!.template.spec!
  const [container, ...more] = pod.containers
  assert.ok(container !== undefined && more.length === 0)
  return { name: metadata!.name!, spec: spec!, pod, container }
})
const containers = deployments.flatMap(({ pod }) => [...(pod.initContainers ?? []), ...pod.containers])

test('every object has the form that Kubernetes asks for', async t => {
  assert.ok(items.length >= 8)
  for (const item of items) new KINDS[item.kind].model(item as never).validate()

  const objects = items.map(item => {
    const { type, from } = KINDS[item.kind]
    return { name: `${item.kind}_${item.metadata!.name!.replaceAll('-', '_')}`, type, from, item }
  })
  await compile(t, objects)
})

/** The schema lets fields pass that there are not; the compiler does not. */
async function compile(
  t: TestContext,
  objects: { name: string; type: string; from: string; item: object }[],
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-kubernetes-'))
  t.after(() => rm(folder, { recursive: true }))
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  const lines = objects.map(
    ({ name, type, from, item }) =>
      `export const ${name}: import('${from}').${type} = ${JSON.stringify(item, null, 2)}`,
  )
  await writeFile(join(folder, 'objects.ts'), lines.join('\n'))
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  const compilerOptions = { noEmit: true, strict: true, skipLibCheck: true, module: 'nodenext', types: [] }
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['objects.ts'] }))
  const compiler = [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', folder]
  await promisify(execFile)(process.execPath, compiler).catch(({ stdout }: { stdout: string }) =>
    assert.fail(stdout),
  )
}

/** What runs in it, and what reads the environment there. */
function configOf({ command }: IContainer): (env: Record<string, string | undefined>) => unknown {
  if (command?.[1] === 'packages/admin/src/main.ts') return readPanelConfig
  assert.equal(command?.[0], 'postviews')
  return env => readServiceConfig(env, { apiKey: command[1] === 'api' })
}

/** What stands for the values of the Secrets, which are made by hand. */
const SECRETS: Record<string, string> = {
  AMQP_URL: 'amqp://postviews:secret@rabbitmq:5672',
  DATABASE_URL: 'mysql://postviews:secret@mariadb:3306/postviews',
  INTERNAL_API_KEY: 'a'.repeat(48),
  ADMIN_PASSWORD: 'b'.repeat(24),
}

function environmentOf({ env = [], envFrom = [] }: IContainer): Map<string, string> {
  const environment = new Map<string, string>()
  for (const { configMapRef } of envFrom) {
    const map = ofKind('ConfigMap').find(({ metadata }) => metadata!.name === configMapRef!.name)
    for (const [name, value] of Object.entries(map!.data!)) environment.set(name, value)
  }
  for (const { name, value, valueFrom } of env) {
    const secret = valueFrom?.secretKeyRef
    assert.ok(value !== undefined || secret?.key === name, name)
    environment.set(name, value ?? SECRETS[name]!)
  }
  return environment
}

test('each container runs a program of ours, with settings that it reads and takes', () => {
  assert.deepEqual(
    containers.map(({ command }) => command!.join(' ')),
    ['postviews migrate', 'postviews consume', 'postviews api', 'node packages/admin/src/main.ts'],
  )
  for (const container of containers) {
    const environment = environmentOf(container)
    const read = new Set<string>()
    const env = new Proxy<Record<string, string | undefined>>(
      {},
      {
        get: (_, name) => {
          read.add(String(name))
          return environment.get(String(name))
        },
      },
    )
    configOf(container)(env)
    for (const name of environment.keys())
      assert.ok(read.has(name), `${container.name} does not read ${name}`)
  }
})

test('no password or key is in the file', () => {
  for (const { name, env = [] } of containers) {
    for (const { name: variable, value } of env) {
      if (/PASSWORD|KEY|AMQP_URL|DATABASE_URL/.test(variable))
        assert.equal(value, undefined, `${name}: ${variable}`)
    }
  }
  // The commands at the head make what is asked for, and nothing else.
  const made = text.split('kubectl ').flatMap(command => {
    const secret = /create secret generic (\S+)/.exec(command)?.[1]
    return [...command.matchAll(/--from-literal=(\w+)=/g)].map(([, key]) => `${secret}/${key}`)
  })
  const asked = containers.flatMap(({ env = [] }) =>
    env.flatMap(({ valueFrom }) =>
      valueFrom?.secretKeyRef === undefined
        ? []
        : [`${valueFrom.secretKeyRef.name}/${valueFrom.secretKeyRef.key}`],
    ),
  )
  assert.deepEqual(new Set(made), new Set(asked))
})

test('a restart cures a process that hangs, never one that waits', () => {
  for (const { name, container } of deployments) {
    assert.equal(container.livenessProbe?.httpGet?.path, '/livez', name)
    // Longer than the process itself waits for a part that does not answer.
    const { timeoutSeconds, periodSeconds, failureThreshold } = container.livenessProbe!
    assert.ok(timeoutSeconds! >= 5 && periodSeconds! * failureThreshold! >= 60, name)
    assert.equal(container.startupProbe, undefined, name)
    // All replicas of the API share one database: /readyz would take all of them out of the Service at once.
    const ready = name === 'postviews-consume' ? '/readyz' : '/livez'
    assert.equal(container.readinessProbe?.httpGet?.path, ready, name)
    const port = Number(environmentOf(container).get('PORT') ?? 3100)
    for (const probe of [container.livenessProbe, container.readinessProbe])
      assert.equal(probe?.httpGet?.port, port, name)
    assert.deepEqual(
      container.ports!.map(({ containerPort }) => containerPort),
      [port],
      name,
    )
  }
})

test('every container is confined', () => {
  for (const { name, pod } of deployments) {
    assert.deepEqual(
      pod.securityContext,
      { runAsNonRoot: true, runAsUser: 1000, runAsGroup: 1000, seccompProfile: { type: 'RuntimeDefault' } },
      name,
    )
    assert.equal(pod.automountServiceAccountToken, false, name)
    // Else Kubernetes adds variables of its own to the environment that our settings come from.
    assert.equal(pod.enableServiceLinks, false, name)
    // `postviews` promises to end within 20 s.
    assert.equal(pod.terminationGracePeriodSeconds, 30, name)
  }
  for (const { name, image, securityContext, volumeMounts, resources } of containers) {
    assert.deepEqual(
      securityContext,
      { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
      name,
    )
    assert.deepEqual(volumeMounts, [{ name: 'tmp', mountPath: '/tmp' }], name)
    assert.ok(
      resources?.requests?.['memory'] && resources.requests['cpu'] && resources.limits?.['memory'],
      name,
    )
    assert.equal(image, containers[0]!.image, `${name}: another version`)
  }
})

test('there is room for the days that are verified and rebuilt in a consumer', () => {
  const { pod } = deployments.find(({ name }) => name === 'postviews-consume')!
  const [, gibibytes] = /^(\d+)Gi$/.exec(String(pod.volumes![0]!.emptyDir?.sizeLimit)) ?? []
  // A day's visitors take 100 bytes each in it.
  assert.ok(Number(gibibytes) * 2 ** 30 >= 20_000_000 * 100, `${gibibytes} GiB`)
})

test('the database is changed while no process of another version runs', () => {
  const [consume, api] = deployments
  assert.equal(consume!.name, 'postviews-consume')
  for (const { name, spec } of [consume!, api!]) assert.equal(spec.strategy?.type, 'Recreate', name)
  const migrating = deployments.filter(({ pod }) => pod.initContainers !== undefined)
  assert.deepEqual(migrating, [consume])
})

test('whatever names another object finds it', () => {
  const services = ofKind('Service')
  assert.deepEqual(
    services.map(({ metadata }) => metadata!.name),
    ['postviews-api', 'postviews-panel'],
  )
  const labelsOf = new Map(deployments.map(({ name, spec }) => [name, spec.template.metadata!.labels!]))
  for (const { name, spec } of deployments) {
    const { matchLabels } = spec.selector
    assert.deepEqual(matchLabels, { 'app.kubernetes.io/name': name })
    assert.equal(labelsOf.get(name)!['app.kubernetes.io/name'], name)
  }
  for (const { metadata, spec } of services) {
    const { name } = metadata!
    assert.deepEqual(spec!.selector, { 'app.kubernetes.io/name': name })
    const { container } = deployments.find(deployment => deployment.name === name)!
    for (const { targetPort } of spec!.ports!)
      assert.ok(
        container.ports!.some(port => port.name === targetPort),
        `${name}: ${targetPort}`,
      )
  }
  const panel = deployments.find(({ name }) => name === 'postviews-panel')!
  assert.equal(environmentOf(panel.container).get('ANALYTICS_URL'), 'http://postviews-api:3100')
  // One is always left: of those alone that are more than one, or no node could ever be drained.
  const several = deployments.filter(({ spec }) => spec.replicas! > 1)
  assert.deepEqual(
    ofKind('PodDisruptionBudget').map(({ spec }) => [spec!.minAvailable, spec!.selector!.matchLabels]),
    several.map(({ name }) => [1, { 'app.kubernetes.io/name': name }]),
  )
})

test('the sidecar in docs/relay.md has the form that Kubernetes asks for, and settings that the relay takes', async t => {
  const [, yaml] = /```yaml\n(.*?)```/s.exec(await readFile(join(ROOT, 'docs/relay.md'), 'utf8'))!
  const item: IPod = parse(yaml!)
  new Pod(item).validate()
  await compile(t, [{ name: 'pod', type: 'IPod', from: 'kubernetes-models/v1', item }])

  const [relay] = item.spec!.initContainers!
  const [php] = item.spec!.containers
  assert.deepEqual(
    [relay!.command, relay!.restartPolicy, relay!.image],
    [['postviews-relay'], 'Always', containers[0]!.image],
  )
  const environment = environmentOf(relay!)
  const config = readRelayConfig(Object.fromEntries(environment))
  assert.equal(environmentOf(php!).get('RELAY_SOCKET'), config.socket)
  for (const probe of [relay!.startupProbe, relay!.livenessProbe])
    assert.deepEqual(probe?.httpGet, { path: '/livez', port: config.port })
  assert.equal(item.spec!.enableServiceLinks, false)
  const mountOf = (container: IContainer, path: string) =>
    container.volumeMounts!.find(({ mountPath }) => path.startsWith(`${mountPath}/`))!
  assert.deepEqual(mountOf(php!, config.socket!), { ...mountOf(relay!, config.socket!), readOnly: true })
  const kept = mountOf(relay!, config.spool).name
  assert.ok(php!.volumeMounts!.every(({ name }) => name !== kept))
  const [, gibibytes] = /^(\d+)Gi$/.exec(
    String(item.spec!.volumes!.find(({ name }) => name === kept)!.emptyDir!.sizeLimit),
  )!
  assert.ok(Number(gibibytes) * 2 ** 30 > config.maxBytes)
})
