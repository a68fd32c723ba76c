#!/usr/bin/env bash
# RabbitMQ 4.3.6 (Debian unstable), one node, amqplib 2.3.1, Node 20 or newer. Needs root, for debootstrap.
#
# A quorum queue confirms a message once it is on disk. But which log belongs to which queue is written to a file of its own
# (quorum/NODE/names.dets), half a second later. A node that is killed within that half second after the queue was declared
# comes back with the queue and without its log, and begins a new one: the queue works, and is empty, although 100 persistent
# messages had been confirmed. It takes no power cut: SIGKILL does. A second after the declaration nothing is lost. (3.10.8 and
# 4.0.5 begin no new log: there the queue answers nobody any more.)
#
# Seen: killed at once, 0 of 100 are there, 3 of 3 times; killed 2 s later, 100 of 100. One of three is enough here, since the
# half second begins before the declaration is answered.
#
# Ends with 0 while that is so, with 1 when it has changed, with 2 where another version is what Debian has by now.
set -euo pipefail

VERSION=4.3.6
folder=$(mktemp -d)
cleanup() { rm -rf --one-file-system "$folder"; }
trap cleanup EXIT
command -v debootstrap >/dev/null || apt-get install -y --no-install-recommends debootstrap >/dev/null
cd "$folder"
npm init -y >/dev/null
npm install --no-audit --no-fund --silent amqplib@2.3.1

debootstrap --variant=minbase sid root >root.log 2>&1
printf '#!/bin/sh\nexit 101\n' > root/usr/sbin/policy-rc.d
chmod 755 root/usr/sbin/policy-rc.d
cp /etc/hosts /etc/resolv.conf root/etc/
# Its mounts end with the command.
unshare --mount --propagation private sh -c '
  mount --rbind /proc "$0/proc" && mount --rbind /dev "$0/dev" &&
  DEBIAN_FRONTEND=noninteractive chroot "$0" apt-get install -q -y --no-install-recommends rabbitmq-server
' "$folder/root" >>root.log 2>&1
found=$(chroot root dpkg-query -W -f '${Version}' rabbitmq-server)
case $found in "$VERSION"*) ;; *) echo "RabbitMQ $found, not $VERSION: look again by hand"; exit 2 ;; esac

cat > finding.cjs <<'JS'
const { spawn } = require('node:child_process')
const { mkdirSync, writeFileSync } = require('node:fs')
const { createServer } = require('node:net')
const { connect } = require('amqplib')

const MESSAGES = 100
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
const freePort = () => new Promise(resolve => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address()
    server.close(() => resolve(port))
  })
})

/** A node of its own in the root: on loopback alone, with its own epmd. */
async function nodeIn(root) {
  const [port, distPort, epmdPort] = [await freePort(), await freePort(), await freePort()]
  const data = '/var/tmp/finding'
  mkdirSync(root + data, { recursive: true })
  writeFileSync(`${root}${data}/plugins`, '[].\n')
  writeFileSync(`${root}${data}/rabbitmq.conf`, `listeners.tcp.default = 127.0.0.1:${port}\nlog.console = false\n`)
  const env = {
    PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: data, LANG: 'C.UTF-8',
    ERL_EPMD_ADDRESS: '127.0.0.1', ERL_EPMD_PORT: String(epmdPort),
    RABBITMQ_NODENAME: 'finding@localhost', RABBITMQ_DIST_PORT: String(distPort),
    RABBITMQ_CONF_ENV_FILE: '/dev/null', RABBITMQ_CONFIG_FILE: `${data}/rabbitmq.conf`,
    RABBITMQ_ENABLED_PLUGINS_FILE: `${data}/plugins`, RABBITMQ_MNESIA_BASE: `${data}/data`, RABBITMQ_LOG_BASE: `${data}/log`,
    RABBITMQ_ALLOW_INPUT: '1', RABBITMQ_SERVER_START_ARGS: '-noinput',
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
  }
  const enter = 'root=$1; shift; mount --rbind /proc "$root/proc"; mount --rbind /dev "$root/dev"; exec chroot "$root" "$@"'
  const inRoot = (...command) =>
    spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', enter, 'sh', root, ...command], { env, stdio: 'ignore' })
  const epmd = inRoot('/usr/bin/epmd', '-address', '127.0.0.1', '-port', String(epmdPort))
  let node
  return {
    async start() {
      node = inRoot('/usr/lib/rabbitmq/bin/rabbitmq-server')
      for (let tries = 0; ; tries++) {
        try {
          return await connect(`amqp://guest:guest@127.0.0.1:${port}`)
        } catch (error) {
          if (tries === 180) throw error
          await sleep(500)
        }
      }
    },
    async kill(signal = 'SIGKILL') {
      const ended = new Promise(resolve => node.once('exit', resolve))
      node.kill(signal)
      await ended
    },
    end() {
      node?.kill('SIGKILL')
      epmd.kill()
    },
  }
}

/** How many of the messages are there after the node was killed so long after the confirm of the last; null: no answer. */
async function leftAfter(node, queue, afterMs) {
  const connection = await node.start()
  connection.on('error', () => {})
  const channel = await connection.createConfirmChannel()
  channel.on('error', () => {})
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
  for (let n = 0; n < MESSAGES; n++) channel.sendToQueue(queue, Buffer.from('x'), { persistent: true })
  await channel.waitForConfirms()
  await sleep(afterMs)
  await node.kill()

  const again = await node.start()
  again.on('error', () => {})
  const reader = await again.createChannel()
  reader.on('error', () => {})
  const count = async () => {
    let messages = 0
    while ((await reader.get(queue, { noAck: true })) !== false) messages++
    return messages
  }
  // As long as a queue takes to have a leader, and longer.
  const first = await Promise.race([count().catch(() => null), sleep(20_000).then(() => null)])
  await node.kill('SIGTERM')
  return first
}

async function main() {
  const node = await nodeIn(process.argv[2])
  // Neither outlives this program.
  process.once('exit', () => node.end())
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1))
  const connection = await node.start()
  const { version } = connection.connection.serverProperties
  await connection.close()
  await node.kill('SIGTERM')
  const atOnce = []
  for (let times = 0; times < 3; times++) atOnce.push(await leftAfter(node, `at-once-${times}`, 0))
  const later = await leftAfter(node, 'later', 2_000)
  node.end()
  const words = count => (count === null ? 'no answer' : `${count} of ${MESSAGES}`)
  console.log(`RabbitMQ ${version}: killed at once: ${atOnce.map(words).join(', ')}; 2 s later: ${words(later)}`)
  const isSo = atOnce.includes(0) && later === MESSAGES
  if (!isSo) console.log('This has changed.')
  process.exitCode = isSo ? 0 : 1
}

main()
JS
node finding.cjs "$folder/root"
