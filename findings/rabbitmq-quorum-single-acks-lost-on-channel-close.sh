#!/usr/bin/env bash
# RabbitMQ 3.10.8 (Debian 12), amqplib 2.3.1, Node 20 or newer.
#
# AMQP 0-9-1 handles what comes on a channel in order, so what was acknowledged before channel.close is settled when
# channel.close-ok arrives. On a quorum queue that does not hold for acknowledgements that are sent one by one: of 100 basic.ack
# right before channel.close 66 are lost, and their messages come back as redelivered. One basic.ack with multiple=true
# settles all 100, and so do 100 single ones on a classic queue. (The channel keeps back what goes beyond a limit of
# commands that the queue has not answered, and drops it when it closes.) Seen: 66 of 100, 5 of 5 times.
#
# Ends with 0 while that is so, with 1 when it has changed.
set -euo pipefail

VERSION=3.10.8
folder=$(mktemp -d)
server=
cleanup() {
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
  if [ -n "${epmd_port:-}" ]; then ERL_EPMD_PORT=$epmd_port epmd -kill >/dev/null 2>&1 || true; fi
  rm -rf "$folder"
}
trap cleanup EXIT

if ! dpkg-query -W -f '${Version}' rabbitmq-server 2>/dev/null | grep -q "^$VERSION"; then
  apt-get install -y --no-install-recommends "rabbitmq-server=$VERSION*" >/dev/null
fi
cd "$folder"
npm init -y >/dev/null
npm install --no-audit --no-fund --silent amqplib@2.3.1

free_port() { node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })'; }
port=$(free_port); dist_port=$(free_port); epmd_port=$(free_port)
echo '[].' > plugins
printf 'listeners.tcp.default = 127.0.0.1:%s\nlog.console = false\n' "$port" > rabbitmq.conf
env -i PATH="$PATH" HOME="$folder" LANG=C.UTF-8 ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT="$epmd_port" \
  RABBITMQ_NODENAME=finding@localhost RABBITMQ_DIST_PORT="$dist_port" RABBITMQ_CONF_ENV_FILE=/dev/null \
  RABBITMQ_CONFIG_FILE="$folder/rabbitmq.conf" RABBITMQ_ENABLED_PLUGINS_FILE="$folder/plugins" \
  RABBITMQ_MNESIA_BASE="$folder/data" RABBITMQ_LOG_BASE="$folder/log" RABBITMQ_ALLOW_INPUT=1 \
  RABBITMQ_SERVER_START_ARGS=-noinput \
  RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' \
  /usr/lib/rabbitmq/bin/rabbitmq-server > server.log 2>&1 &
server=$!

cat > finding.cjs <<'JS'
const { connect } = require('amqplib')
const url = `amqp://guest:guest@127.0.0.1:${process.argv[2]}`
const MESSAGES = 100

async function open() {
  for (let tries = 0; ; tries++) {
    try { return await connect(url) } catch (error) {
      if (tries === 60) throw error
      await new Promise(resolve => setTimeout(resolve, 500))
    }
  }
}

/** How many of the messages are back after all were acknowledged and the channel was closed in order. */
async function leftOver(type, acknowledge) {
  const connection = await open()
  const queue = `${type}-${acknowledge.name}-${Date.now()}`
  const publisher = await connection.createConfirmChannel()
  await publisher.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': type } })
  for (let n = 0; n < MESSAGES; n++) publisher.sendToQueue(queue, Buffer.from(String(n)), { persistent: true })
  await publisher.waitForConfirms()

  const channel = await connection.createChannel()
  await channel.prefetch(MESSAGES)
  const messages = []
  await new Promise(resolve => {
    channel.consume(queue, message => { if (messages.push(message) === MESSAGES) resolve() })
  })
  acknowledge(channel, messages)
  await channel.close()

  // What is unacknowledged goes back to its queue when its channel is closed.
  await new Promise(resolve => setTimeout(resolve, 1_000))
  const { messageCount } = await publisher.checkQueue(queue)
  await publisher.deleteQueue(queue)
  await connection.close()
  return messageCount
}

const singly = (channel, messages) => { for (const message of messages) channel.ack(message) }
const together = (channel, messages) => channel.ack(messages.at(-1), true)

;(async () => {
  const version = await open().then(async connection => {
    const { version } = connection.connection.serverProperties
    await connection.close()
    return version
  })
  const lost = []
  for (let times = 0; times < 5; times++) lost.push(await leftOver('quorum', singly))
  const quorumTogether = await leftOver('quorum', together)
  const classicSingly = await leftOver('classic', singly)
  console.log(`RabbitMQ ${version}: of ${MESSAGES} acknowledged, back after channel.close-ok`)
  console.log(`quorum queue, one by one: ${lost.join(', ')}`)
  console.log(`quorum queue, multiple=true: ${quorumTogether}`)
  console.log(`classic queue, one by one: ${classicSingly}`)
  const holds = lost.some(count => count > 0) && quorumTogether === 0 && classicSingly === 0
  console.log(holds ? 'as described' : 'CHANGED')
  process.exitCode = holds ? 0 : 1
})()
JS
node finding.cjs "$port"
