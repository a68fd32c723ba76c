/**
 * deploy/Dockerfile and deploy/compose.yaml, run: `npm run test:containers`. The commands are those of docs/operations.md, typed as they
 * stand there.
 */

import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createStats, createTracker } from '@postviews/client/src/index.ts'
import { seconds } from '../../tools/containers/compose.ts'
import { podman } from '../../tools/containers/podman.ts'
import { atEnd } from '../support/at-end.ts'
import { until } from '../support/until.ts'
import { FIREFOX } from '../support/views.ts'
import { commandsOf, type Deployed, deployedCopy, fillIn } from './deployed.ts'

const API = 'http://127.0.0.1:3100'
const PANEL = 'http://127.0.0.1:3200'
const BLOG = 'http://127.0.0.1:3300'
const PHP = 'http://127.0.0.1:3500'
const PROMETHEUS = 'http://127.0.0.1:9090'
const IN_ORDER = 'every number adds up'

test('deploy/ does what docs/operations.md says', async t => {
  const system = await deployedCopy(t)
  const { type, parts, container } = system
  const ours = parts.filter(([, { build }]) => build !== undefined)
  const compose = (command: string) => type(`docker compose -f deploy/compose.yaml ${command}`)

  /** Each stands on the one before. */
  const step = async (name: string, run: (t: TestContext) => Promise<void>) => {
    let isDone = false
    await t.test(name, async t => {
      await run(t)
      isDone = true
    })
    if (!isDone) assert.fail(`the rest needs this: ${name}`)
  }

  await step('the image is built, and every container gets healthy by its own check', async () => {
    const [copying, ...starting] = commandsOf('In containers').split('\n')
    await type(copying!)
    await fillIn(system)
    assert.match(await type(starting.join('\n')), new RegExp(IN_ORDER))
  })

  const stats = createStats({ baseUrl: API, key: system.settings.get('PANEL_API_KEY')! })
  const views = async () => (await stats.siteViews()).views
  /** Numbers of posts and days, as they are now. */
  const numbers = async () => {
    const { as_of: _, ...days } = await stats.siteDays()
    const { as_of: __, ...top } = await stats.topPosts({ limit: 100 })
    return { days, top }
  }

  await step('the servers are of the versions that compose.yaml names', async () => {
    const asked = {
      rabbitmq: 'rabbitmqctl version',
      mariadb: 'mariadbd --version',
      prometheus: 'prometheus --version',
      php: 'php --version',
      analytics: 'node --version',
    }
    for (const [service, command] of Object.entries(asked)) {
      const [, { image }] = parts.find(([name]) => name === service)!
      const [, tag = process.versions.node] = image.split(':')
      const version = tag.replace(/^v|-.*/g, '')
      assert.match(
        await compose(`exec ${service} ${command}`),
        new RegExp(`(^|\\D)${version.replaceAll('.', '\\.')}(\\D|$)`),
      )
    }
  })

  await step('no container has a right that it does not need', async () => {
    for (const [service, { mem_limit, ports = [] }] of parts) {
      const of = (file: string) => podman('exec', container(service), 'cat', file)
      const status = new Map(
        (await of('/proc/1/status')).split('\n').map(line => line.split(':\t') as [string, string]),
      )
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
        assert.match(status.get(set)!, /^0+$/, `${service} ${set}`)
      assert.equal(status.get('NoNewPrivs'), '1', service)
      for (const id of [...status.get('Uid')!.split('\t'), ...status.get('Gid')!.split('\t')])
        assert.notEqual(id, '0', `${service} runs as root`)
      const mounts = (await of('/proc/1/mounts')).split('\n').map(line => line.split(' '))
      const root = mounts.findLast(([, path]) => path === '/')!
      assert.ok(root[3]!.split(',').includes('ro'), `${service} can write to ${root}`)

      const format = '{{.HostConfig.Memory}} {{json .NetworkSettings.Ports}}'
      const [memory, published] = (await podman('inspect', '--format', format, container(service))).split(' ')
      if (mem_limit !== undefined)
        assert.equal(Number(memory), Number.parseInt(mem_limit, 10) * 2 ** 20, service)
      const at: { HostIp: string; HostPort: string }[] = Object.values(JSON.parse(published!))
        .flat()
        .filter(Boolean) as never
      assert.deepEqual(
        at.map(({ HostIp, HostPort }) => `${HostIp}:${HostPort}`).sort(),
        ports.map(port => port.replace(/:\d+$/, '')).sort(),
        service,
      )
    }
  })

  await step(
    'what Node has made of the programs is there for the user that runs them, who cannot change it',
    async () => {
      const stat = 'cd node_modules/.cache/postviews && ls && stat -c "%u %a" */* | sort -u'
      const folders = (await compose(`exec analytics sh -c '${stat}'`)).trim().split('\n')
      assert.equal(folders.pop(), '0 644')
      // One for each set of V8's flags; named by the number of the user, whose files Node looks for.
      assert.ok(folders.length > 0)
      for (const folder of folders) assert.match(folder, /-1000$/)
    },
  )

  await step('the database is reached by the service alone, and reaches nobody', async () => {
    const connects = (service: string) =>
      compose(
        `exec ${service} node -e "require('node:net').connect(3306, 'mariadb').on('connect', () => process.exit(0)).on('error', () => process.exit(9))"`,
      ).then(
        () => true,
        () => false,
      )
    assert.equal(await connects('analytics'), true)
    assert.equal(await connects('blog'), false)
    const routes = (await podman('exec', container('mariadb'), 'cat', '/proc/net/route')).split('\n').slice(1)
    assert.deepEqual(
      routes.map(route => route.split('\t')[1]).filter(to => to === '00000000'),
      [],
    )
  })

  await step('a view of a post in the blog is seen in the panel', async () => {
    const [post] = (await (await fetch(`${BLOG}/posts.json`)).json()).posts
    await fetch(new URL(post.url, BLOG), { headers: { 'user-agent': FIREFOX } })
    await until('the view is counted', async () => (await views()) === 1)
    const cookie = await signIn(system)
    await until('the panel shows it', async () => {
      const page = await fetch(`${PANEL}/posts/${post.id}/data`, { headers: { cookie } })
      return (await page.json()).data.total.views === 1
    })
    const page = await (await fetch(`${PANEL}/posts/${post.id}`, { headers: { cookie } })).text()
    assert.ok(page.includes(post.title))
  })

  await step('an upgrade replaces the image and keeps every view, also those of meanwhile', async t => {
    await publish(t, system, 2_000)
    await until('all are counted', async () => (await views()) === 2_001)
    const before = await numbers()
    const cli = join(system.folder, 'packages/analytics/src/cli.ts')
    await writeFile(cli, (await readFile(cli, 'utf8')).replace(".version('0.1.0')", ".version('9.9.9')"))
    const image = await imageOf(container('analytics'))

    const [stopping, ...rest] = commandsOf('In containers', 1).split('\n')
    await type(stopping!)
    await assert.rejects(fetch(`${API}/livez`))
    await publish(t, system, 50)
    assert.match(await type(rest.join('\n')), new RegExp(IN_ORDER))

    assert.equal((await compose('exec analytics postviews --version')).trim(), '9.9.9')
    assert.notEqual(await imageOf(container('analytics')), image)
    await until('those of meanwhile are counted', async () => (await views()) === 2_051)
    assert.deepEqual((await numbers()).top.total, before.top.total)
  })

  await step('a backup brings every number back, as documented', async t => {
    const before = await numbers()
    await type(commandsOf('Backup in containers'))
    await publish(t, system, 100)
    await until('more are counted', async () => (await views()) === 2_151)
    assert.match(await type(commandsOf('Backup in containers', 1)), new RegExp(IN_ORDER))
    assert.deepEqual(await numbers(), before)
  })

  await step('Prometheus reaches what it asks, and knows the alerts', async () => {
    const ask = async (path: string) => (await (await fetch(`${PROMETHEUS}/api/v1/${path}`)).json()).data
    await until(
      'every target is up',
      async () => {
        const { activeTargets } = await ask('targets')
        return (
          activeTargets.length === 4 &&
          activeTargets.every(({ health }: { health: string }) => health === 'up')
        )
      },
      60_000,
    )
    const { groups } = await ask('rules')
    const alerts = (await readFile(join(system.folder, 'deploy/prometheus/alerts.yml'), 'utf8')).match(
      /- alert: /g,
    )
    assert.equal(groups.flatMap(({ rules }: { rules: object[] }) => rules).length, alerts!.length)
    await until(
      'it knows that every part is ready',
      async () => {
        const { result } = await ask('query?query=postviews_ready')
        return (
          result.length === 3 && result.every(({ value }: { value: [number, string] }) => value[1] === '1')
        )
      },
      60_000,
    )
  })

  await step('promtool finds that each alert fires when it should, and none when all is well', async () => {
    // It has no other place to write to.
    await compose(
      'exec prometheus env TMPDIR=/prometheus promtool test rules /etc/prometheus/alerts.test.yml',
    )
  })

  await step(
    'a page in PHP has the relay keep its views while RabbitMQ is away, and all are counted',
    async () => {
      const before = await views()
      await compose('stop rabbitmq')
      for (let view = 0; view < 20; view++) {
        const page = await fetch(`${PHP}/view.php?post=post-${view % 3}`, {
          headers: { 'user-agent': FIREFOX },
        })
        assert.equal(page.status, 200)
      }
      const ask = `fetch('http://relay:3400/views', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ post_uuid: 'post-1' }) }).then(answer => answer.text()).then(console.log)`
      assert.equal((await compose(`exec blog node -e "${ask}"`)).trim(), 'ok')
      await compose('up -d --wait')
      await until('all are counted', async () => (await views()) === before + 21)
      const status = await podman('exec', container('relay'), 'cat', '/proc/1/status')
      const kilobytes = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1])
      assert.ok(kilobytes < 80_000, `the relay takes ${kilobytes} kB of memory`)
    },
  )

  await step('PHP reaches the socket by its group alone, and the spool not at all', async () => {
    const stat = (service: string, format: string, path: string) =>
      podman('exec', container(service), 'stat', '-c', format, path)
    assert.equal(await stat('php', '%a %u:%g', '/run/postviews/relay.sock'), '660 1000:33')
    assert.equal(await stat('relay', '%a %u', '/data/relay'), '700 1000')
    await assert.rejects(stat('php', '%a', '/data'))
    const send = (user: string) =>
      podman('exec', `--user=${user}`, container('php'), 'sh', '-c', 'php /srv/view.php 2>&1')
    const before = await views()
    assert.equal(await send('33:33'), '')
    await until('its view is counted', async () => (await views()) === before + 1)
    assert.match(await send('65534:65534'), /a view was not taken: no relay at \S+: Permission denied/)
  })

  await step('SIGTERM ends each container in its time with exit code 0, and nothing is lost', async () => {
    const before = await numbers()
    // Who needs others first: the service before broker and database.
    const order = [
      ...ours.map(([name]) => name),
      ...parts.filter(([, { build }]) => build === undefined).map(([name]) => name),
    ]
    for (const service of order) {
      const [, { stop_grace_period = '10s' }] = parts.find(([name]) => name === service)!
      const since = performance.now()
      await compose(`stop ${service}`)
      const tookMs = performance.now() - since
      const state = await podman(
        'inspect',
        '--format',
        '{{.State.Status}} {{.State.ExitCode}}',
        container(service),
      )
      assert.equal(state, 'exited 0', service)
      assert.ok(tookMs < seconds(stop_grace_period) * 1_000, `${service} took ${tookMs} ms`)
    }
    await compose('up -d --wait')
    assert.deepEqual(await numbers(), before)
  })

  await step('the image alone runs on SQLite, with the backup that is documented', async t => {
    await compose('stop analytics')
    const key = 'k'.repeat(48)
    const amqpUrl = `amqp://postviews:${system.settings.get('RABBITMQ_PASSWORD')}@rabbitmq:5672`
    const [command] = /docker run (?:.*\\\n# )*.*\n/.exec(
      await readFile(join(system.folder, 'deploy/Dockerfile'), 'utf8'),
    )!
    const typed = command
      .replaceAll('\\\n#', '')
      .replace('AMQP_URL=…', `AMQP_URL=${amqpUrl}`)
      .replace('INTERNAL_API_KEY=…', `INTERNAL_API_KEY=${key}`)
      .replace('docker run', 'docker run --detach --name=alone --network=postviews_default')
    await type(typed)
    atEnd(t, () => podman('rm', '--force', '--time=0', 'alone'))
    const own = createStats({ baseUrl: API, key })
    const count = async () => (await own.siteViews().catch(() => ({ views: null }))).views
    await until('it counts', async () => (await count()) === 0)
    await publish(t, system, 500)
    await until('all are counted', async () => (await count()) === 500)

    const backup = commandsOf('Backup and restore')
      .split('\n')
      .find(line => line.startsWith('node -e'))!
    await podman('exec', 'alone', 'sh', '-c', backup)
    await publish(t, system, 20)
    await until('more are counted', async () => (await count()) === 520)
    await podman('stop', 'alone')
    assert.equal(await podman('inspect', '--format', '{{.State.ExitCode}}', 'alone'), '0')
    // What docs/operations.md says in words: all three away, and the backup in place of the first.
    const volume = [
      'run',
      '--rm',
      '--volume=postviews:/data',
      '--env=DATABASE_URL=sqlite:/data/postviews.db',
      'postviews',
    ]
    await podman(
      ...volume,
      'sh',
      '-c',
      'mkdir /data/old && mv /data/postviews.db* /data/old && mv /data/backup.db /data/postviews.db',
    )
    assert.match(await podman(...volume, 'postviews', 'verify'), new RegExp(IN_ORDER))
    await podman('start', 'alone')
    await until('it has what the backup had', async () => (await count()) === 500)
  })
})

/** Publishes so many views of three posts, as people's and bots', each confirmed. */
async function publish(t: TestContext, { settings }: Deployed, views: number): Promise<void> {
  const url = `amqp://postviews:${settings.get('RABBITMQ_PASSWORD')}@127.0.0.1:5672`
  const tracker = createTracker({ url })
  atEnd(t, () => tracker.close(1_000))
  for (let view = 0; view < views; view++) {
    tracker.trackView({
      post_uuid: `post-${view % 3}`,
      ip: `203.0.113.${view % 250}`,
      user_agent: view % 10 === 0 ? 'curl/8.0' : FIREFOX,
      ...(view % 4 === 0 && { user_id: (view % 90) + 1 }),
    })
  }
  await tracker.flush(20_000)
  assert.equal(tracker.stats().confirmed, views)
}

/** The cookie of a session in the panel. */
async function signIn({ settings }: Deployed): Promise<string> {
  const answer = await fetch(`${PANEL}/sign-in`, {
    method: 'POST',
    body: new URLSearchParams({ password: settings.get('ADMIN_PASSWORD')! }),
    redirect: 'manual',
  })
  assert.equal(answer.status, 303)
  return answer.headers.getSetCookie()[0]!.split(';')[0]!
}

function imageOf(container: string): Promise<string> {
  return podman('inspect', '--format', '{{.Image}}', container)
}
