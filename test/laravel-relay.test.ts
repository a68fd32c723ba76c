/** What packages/laravel publishes with (src/Publishing), run by plain PHP, over postviews-relay. Laravel itself: test/laravel/relay.test.ts. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import { atEnd } from './support/at-end.ts'
import { SQLITE } from './support/engines.ts'
import { BY_ID, BY_UUID, php, restFolder, WAITED_FOR_NOTHING_MS } from './support/php-pages.ts'
import { phpWorker } from './support/php-worker.ts'
import { startRelay } from './support/relay.ts'
import { DUPLICATES, startService } from './support/service.ts'
import { startTcpProxy } from './support/tcp-proxy.ts'
import { until } from './support/until.ts'
import { FIREFOX } from './support/views.ts'

/** It waits half a second for an answer; the rest is this machine's. */
const LONGEST_FLUSH_MS = 2_000

const KILLS = 5

/** A broker, with the service on it. */
async function counting(t: TestContext) {
  const { url } = await testRabbitmq()
  const database = await SQLITE.create(t)
  const settings = { EVENT_MAX_AGE: '10000d', RAW_RETENTION_DAYS: '0' }
  const service = await startService(t, { amqpUrl: url, databaseUrl: database.url, settings })
  await service.untilReady()
  const stored = async () => {
    const [row] = await database.query(
      'SELECT COUNT(*) AS views, COUNT(DISTINCT event_id) AS ids FROM post_views',
    )
    return { views: Number(row!['views']), ids: Number(row!['ids']) }
  }
  return {
    url,
    database,
    service,
    /** Waits until there are so many, each once. */
    counts: async (views: number) => {
      await until(`${views} views are counted`, async () => (await stored()).views >= views)
      assert.deepEqual(await stored(), { views, ids: views })
    },
  }
}

test('counts what a page gives to the relay, in the shape of either article, with reader and day', async t => {
  const { url, database, counts } = await counting(t)
  const relay = await startRelay(t, { amqpUrl: url })
  const worker = phpWorker(t, { relay: relay.socket })
  for (const views of [[BY_ID], [BY_UUID, BY_ID]]) {
    const { is_sent, log } = await worker.show(...views)
    assert.deepEqual([is_sent, log], [true, []])
  }
  assert.equal(await worker.end(), '')
  await counts(3)
  const rows = await database.query(
    'SELECT post_uuid, user_id, ip, user_agent, referer, day FROM post_views ORDER BY user_id DESC LIMIT 1',
  )
  const { timestamp: _, ...view } = BY_UUID
  assert.deepEqual(
    rows.map(row => ({ ...row })),
    [{ ...view, user_id: '7', day: '2026-11-20' }],
  )
})

test('a thousand views at a time, more than a socket holds, are all taken', async t => {
  const { url, counts } = await counting(t)
  const relay = await startRelay(t, { amqpUrl: url })
  const worker = phpWorker(t, { relay: relay.socket })
  const long = { ...BY_ID, user_agent: FIREFOX.padEnd(1_900, '.') }
  const { is_sent, log } = await worker.show(...Array.from({ length: 1_000 }, () => long))
  assert.deepEqual([is_sent, log], [true, []])
  await counts(1_000)
})

test('while no relay is there it says so once and goes by the broker, and by the relay when that is back', async t => {
  const { url, counts } = await counting(t)
  const folder = await restFolder(t)
  const first = await startRelay(t, { amqpUrl: url, folder })
  await first.end('SIGKILL')
  const ways = { relay: first.socket, amqpUrl: url, restFolder: folder }
  const workers = [phpWorker(t, ways), phpWorker(t, ways)] as const
  const logged: string[] = []
  for (const worker of [...workers, ...workers]) {
    const { is_sent, log } = await worker.show(BY_ID)
    assert.ok(is_sent)
    logged.push(...log.map(entry => entry.join(': ')))
  }
  assert.deepEqual(logged, [
    `relay.lost: nobody listens on the socket ${first.socket}: start postviews-relay`,
  ])
  await counts(4)

  const relay = await startRelay(t, { amqpUrl: url, folder })
  for (const worker of workers) {
    const { is_sent, log } = await worker.show(BY_ID)
    assert.deepEqual([is_sent, log], [true, []])
  }
  assert.equal(await relay.metric('accepted_total'), 2)
  await counts(6)
  // The next time it is news again.
  await relay.end('SIGKILL')
  assert.equal((await workers[0].show(BY_ID)).log.length, 1)
  await counts(7)
})

test('a relay that hangs holds one page for its limit and the next ones not at all, and each view is counted once', async t => {
  const { url, service, counts } = await counting(t)
  const folder = await restFolder(t)
  const relay = await startRelay(t, { amqpUrl: url })
  const ways = { relay: relay.socket, amqpUrl: url, restFolder: folder }
  const [kept, other] = [phpWorker(t, ways), phpWorker(t, ways)]
  await kept.show(BY_ID)
  relay.kill('SIGSTOP')
  atEnd(t, () => relay.kill('SIGCONT'))
  const held = await kept.show(BY_ID)
  assert.ok(held.is_sent)
  assert.ok(held.track_ms < WAITED_FOR_NOTHING_MS, `${held.track_ms} ms`)
  assert.ok(held.flush_ms < LONGEST_FLUSH_MS, `${held.flush_ms} ms`)
  assert.match(held.log.join(), /^relay\.lost,the relay at .* does not answer in time/)
  // It connects to the broker for the first time.
  for (const { is_sent, flush_ms, log } of [await other.show(BY_ID), await kept.show(BY_ID)]) {
    assert.deepEqual([is_sent, log], [true, []])
    assert.ok(flush_ms < WAITED_FOR_NOTHING_MS, `${flush_ms} ms`)
  }
  // What lies in its socket is taken when it goes on: the one view comes both ways.
  relay.kill('SIGCONT')
  await until('both ways have brought it', async () => (await service.metric(DUPLICATES)) === 1)
  await counts(4)
})

test('what a relay has no room for goes by the broker, and each view is counted once', async t => {
  const { url, counts } = await counting(t)
  const proxy = await startTcpProxy(Number(new URL(url).port))
  atEnd(t, () => proxy.close())
  proxy.refuse()
  const relay = await startRelay(t, {
    amqpUrl: proxy.through(url),
    settings: { RELAY_MAX_BYTES: '1MiB' },
  })
  const worker = phpWorker(t, { relay: relay.socket, amqpUrl: url })
  const view = { ...BY_ID, user_agent: FIREFOX.padEnd(1_900, '.') }
  const { is_sent, log } = await worker.show(...Array.from({ length: 900 }, () => view))
  assert.ok(is_sent)
  assert.match(log.join(), /^relay\.lost,the relay at .* its spool is full \(full\)/)
  const accepted = await relay.metric('accepted_total')
  assert.ok(accepted > 0 && accepted < 900, `${accepted} accepted`)
  await counts(900 - accepted)
  proxy.pass()
  await counts(900)
})

test('a relay that was restarted between two pages of a worker is not noticed', async t => {
  const { url, counts } = await counting(t)
  const folder = await restFolder(t)
  let relay = await startRelay(t, { amqpUrl: url, folder })
  const worker = phpWorker(t, { relay: relay.socket })
  await worker.show(BY_ID)
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    await relay.end(signal)
    relay = await startRelay(t, { amqpUrl: url, folder })
    const { is_sent, log } = await worker.show(BY_ID, BY_UUID)
    assert.deepEqual([is_sent, log], [true, []])
  }
  assert.equal(await worker.end(), '')
  await counts(5)
})

test('whenever the relay is killed, each view is counted once: by it, or by the broker', async t => {
  const { url, counts } = await counting(t)
  const folder = await restFolder(t)
  let relay = await startRelay(t, { amqpUrl: url, folder })
  const ways = { relay: relay.socket, amqpUrl: url, restFolder: folder }
  const workers = [phpWorker(t, ways), phpWorker(t, ways)]
  let shown = 0
  let losses = 0
  let isOver = false
  const showing = workers.map(async worker => {
    while (!isOver) {
      const { is_sent, log } = await worker.show(...Array.from({ length: 20 }, () => BY_ID))
      assert.ok(is_sent)
      shown += 20
      losses += log.filter(([event]) => event === 'relay.lost').length
    }
  })
  for (let kill = 0; kill < KILLS; kill++) {
    const before = shown
    await until('pages are shown', () => shown >= before + 200)
    await relay.end('SIGKILL')
    const without = shown
    await until('pages are shown without it', () => shown >= without + 100)
    relay = await startRelay(t, { amqpUrl: url, folder })
  }
  isOver = true
  await Promise.all(showing)
  assert.ok(losses >= KILLS, `${losses} losses of the relay`)
  await counts(shown)
})

test('without another way a worker keeps its views until the relay is back, and one that ends tells how many it drops', async t => {
  const { url, counts } = await counting(t)
  const folder = await restFolder(t)
  const first = await startRelay(t, { amqpUrl: url, folder })
  await first.end('SIGTERM')
  const [kept, ending] = [phpWorker(t, { relay: first.socket }), phpWorker(t, { relay: first.socket })]
  assert.equal((await kept.show(BY_ID)).is_sent, false)
  assert.equal((await ending.show(BY_ID)).is_sent, false)
  assert.equal(await ending.end(), 'view.dropped: 1 view: the process has ended\n')
  await startRelay(t, { amqpUrl: url, folder })
  assert.equal((await kept.show(BY_ID)).is_sent, true)
  await counts(2)
})

test('while the broker is away a page is as quick as ever, and its views are counted later', async t => {
  const { url, counts } = await counting(t)
  const proxy = await startTcpProxy(Number(new URL(url).port))
  atEnd(t, () => proxy.close())
  proxy.refuse()
  const relay = await startRelay(t, { amqpUrl: proxy.through(url) })
  const worker = phpWorker(t, { relay: relay.socket })
  for (let page = 0; page < 20; page++) {
    const { is_sent, log } = await worker.show(BY_ID)
    assert.deepEqual([is_sent, log], [true, []])
  }
  assert.equal(await worker.end(), '')
  proxy.pass()
  await counts(20)
})

test('a view sets out when it is tracked, and again when the relay has died before its answer was read', async t => {
  const { url, counts } = await counting(t)
  const folder = await restFolder(t)
  let relay = await startRelay(t, { amqpUrl: url, folder })
  const worker = phpWorker(t, { relay: relay.socket })
  await worker.track(BY_ID)
  await until('the relay has it', async () => (await relay.metric('accepted_total')) === 1)
  assert.ok((await worker.show()).is_sent)
  const trackBeforeItDies = async () => {
    relay.kill('SIGSTOP')
    await worker.track(BY_ID)
    await relay.end('SIGKILL')
  }
  await trackBeforeItDies()
  relay = await startRelay(t, { amqpUrl: url, folder })
  assert.ok((await worker.show()).is_sent)
  await counts(2)
  await trackBeforeItDies()
  assert.equal((await worker.show()).is_sent, false)
  assert.equal(
    await worker.end(),
    'view.dropped: 1 view: the process has ended; what the broker did not confirm may have arrived\n',
  )
})

/** Run in the folder of the publishers. */
const USE = `require 'publishing.php';
use Postviews\\Publishing\\{EncodedView, RelayTransport, Uuid, View};
$relay = new RelayTransport(getenv('RELAY_SOCKET'), fn (string $event, string $detail) => print("$event: $detail\\n"));
`

test('a view that the relay refuses for what is in it is told, and never sent again', async t => {
  const { url, counts } = await counting(t)
  const relay = await startRelay(t, { amqpUrl: url })
  const wrong = `$relay->publish([
    new EncodedView(Uuid::v7(), '{"post_uuid": "no such id"}'),
    View::encode(['post_id' => 42]),
    new EncodedView(Uuid::v7(), '{"ip": null}'),
    new EncodedView(Uuid::v7(), '{"post_uuid": "x", "padding": "' . str_repeat('x', 70_000) . '"}'),
    View::encode(['post_id' => 43]),
  ]);`
  const { stdout, stderr } = await php(['-r', USE + wrong], '', { RELAY_SOCKET: relay.socket })
  assert.equal(stderr, '')
  assert.deepEqual(stdout.trim().split('\n').sort(), [
    'view.dropped: 1 view: permanently refused by the relay (bad_post)',
    'view.dropped: 1 view: permanently refused by the relay (no_post)',
    'view.dropped: 1 view: permanently refused by the relay (too_large)',
  ])
  await counts(2)
})

test('a forked process has a connection of its own, and leaves that of its parent alone', async t => {
  const { url, counts } = await counting(t)
  const relay = await startRelay(t, { amqpUrl: url })
  const fork = `$relay->publish([View::encode(['post_id' => 1])]);
  $begun = View::encode(['post_id' => 4]);
  $relay->begin($begun);
  $child = pcntl_fork();
  $relay->publish(array_fill(0, 50, View::encode(['post_id' => 2])));
  $relay->publish(array_map(fn (int $post) => View::encode(['post_id' => $post]), range(1, 50)));
  if ($child > 0) {
    pcntl_waitpid($child, $status);
    $relay->publish([$begun, View::encode(['post_id' => 3])]);
    echo $status;
  }`
  const { stdout, stderr } = await php(['-r', USE + fork], '', { RELAY_SOCKET: relay.socket })
  assert.deepEqual([stdout, stderr], ['0', ''])
  // Fifty of each process under one id.
  await counts(1 + 1 + 2 * (1 + 50) + 1)
})

test('a few lines of PHP without any package are enough', async t => {
  const { url, database, counts } = await counting(t)
  const relay = await startRelay(t, { amqpUrl: url })
  const say = (post: string) => php(['relay.php', post], '', { RELAY_SOCKET: relay.socket })
  assert.equal((await say('hello-world')).stderr, '')
  await counts(1)
  assert.equal((await database.query('SELECT post_uuid FROM post_views'))[0]!['post_uuid'], 'hello-world')
  assert.match((await say('no such id')).stderr, /^the view is not counted: refused: bad_post: /)
  await relay.end('SIGTERM')
  assert.match((await say('hello-world')).stderr, /^the view is not counted: the relay is away/)
})
