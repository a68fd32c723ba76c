#!/usr/bin/env bash
# RabbitMQ 3.10.8 (Debian 12), amqplib 2.3.1, Node 20 or newer.
#
# A publisher with confirms is connected to the node that leads a quorum queue, one of three, and that node is cut off from the
# other two for 30 s. One expects that when the nodes are connected again the broker confirms what was published meanwhile, or
# refuses it, or ends the channel. With 100 messages unconfirmed it does: all are confirmed. With 500 it never does anything: a
# minute later none is confirmed, refused or returned, nor is what is published then, and the channel stays open, on a connection
# whose heartbeats (5 s) are answered. A publisher that connects to the same node after that is confirmed at once. So nothing but
# a limit of time on confirms tells, and only a new connection helps. (cluster_partition_handling is `ignore`, the default.)
# Seen, of those published: 102 of 102 confirmed; 1 of 502, the one from before; 1 of 1. 2 of 2 times.
#
# Ends with 0 while that is so, with 1 when it has changed. Takes two minutes.
set -euo pipefail

VERSION=3.10.8
folder=$(mktemp -d)
servers=()
cleanup() {
  for server in "${servers[@]}"; do kill "$server" 2>/dev/null || true; done
  wait 2>/dev/null || true
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
epmd_port=$(free_port)
echo '[].' > plugins
# The nodes and rabbitmqctl share it.
head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' > .erlang.cookie
chmod 400 .erlang.cookie
clean=(env -i PATH="$PATH" HOME="$folder" LANG=C.UTF-8 ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT="$epmd_port"
  RABBITMQ_CONF_ENV_FILE=/dev/null)
ctl() { "${clean[@]}" /usr/lib/rabbitmq/bin/rabbitmqctl --quiet -n "$@"; }

ports=()
for name in r1 r2 r3; do
  port=$(free_port); dist_port=$(free_port)
  ports+=("$port")
  mkdir "$name"
  {
    printf 'listeners.tcp.default = 127.0.0.1:%s\nlog.console = false\n' "$port"
    echo 'cluster_formation.peer_discovery_backend = classic_config'
    for n in 1 2 3; do echo "cluster_formation.classic_config.nodes.$n = r$n@localhost"; done
  } > "$name/rabbitmq.conf"
  "${clean[@]}" RABBITMQ_NODENAME="$name@localhost" RABBITMQ_DIST_PORT="$dist_port" \
    RABBITMQ_CONFIG_FILE="$folder/$name/rabbitmq.conf" RABBITMQ_ENABLED_PLUGINS_FILE="$folder/plugins" \
    RABBITMQ_MNESIA_BASE="$folder/$name/data" RABBITMQ_LOG_BASE="$folder/$name/log" RABBITMQ_ALLOW_INPUT=1 \
    RABBITMQ_SERVER_START_ARGS=-noinput \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' \
    /usr/lib/rabbitmq/bin/rabbitmq-server > "$name/server.log" 2>&1 &
  servers+=("$!")
done
for tries in $(seq 60); do
  if ctl r1@localhost await_online_nodes 3 --timeout 10 >/dev/null 2>&1; then break; fi
  sleep 1
done
echo "RabbitMQ $(ctl r1@localhost version)"

# Nodes that have different cookies for each other do not connect: a partition that clients do not notice.
others="['r2@localhost', 'r3@localhost']"
cat > isolate <<ERL
[begin erlang:set_cookie(N, bad), erlang:disconnect_node(N) end || N <- $others], ok.
ERL
cat > heal <<ERL
[erlang:set_cookie(N, erlang:get_cookie()) || N <- $others], [net_kernel:connect_node(N) || N <- $others], nodes().
ERL

cat > finding.cjs <<'JS'
const { connect } = require('amqplib')
const { once } = require('events')
const url = `amqp://guest:guest@127.0.0.1:${process.argv[2]}?heartbeat=5`
const QUEUE = 'kept'
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

async function open() {
  const connection = await connect(url)
  const channel = await connection.createConfirmChannel()
  const count = { sent: 0, confirmed: 0, refused: 0, ended: 0 }
  for (const each of [connection, channel]) each.on('error', () => count.ended++).on('close', () => count.ended++)
  const publish = () => {
    count.sent++
    channel.sendToQueue(QUEUE, Buffer.from('x'), { persistent: true }, error => { error ? count.refused++ : count.confirmed++ })
  }
  return { connection, channel, count, publish }
}

/** The shell does to the nodes what is printed, and answers with a line when it is done. */
const asked = async what => { console.log(what); await once(process.stdin, 'data') }

const FEW = 100
const MANY = 500

;(async () => {
  const few = await open()
  const many = await open()
  await few.channel.assertQueue(QUEUE, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
  for (const { publish, channel } of [few, many]) {
    publish()
    await channel.waitForConfirms()
  }
  await asked('isolate')
  for (let n = 0; n < FEW; n++) few.publish()
  for (let n = 0; n < MANY; n++) many.publish()
  await sleep(30_000)
  await asked('heal')
  await sleep(60_000)
  // A minute later each publishes once more, and so does somebody new.
  const fresh = await open()
  for (const { publish } of [few, many, fresh]) publish()
  await sleep(10_000)
  console.error(`${FEW} unconfirmed when cut off: ${JSON.stringify(few.count)}`)
  console.error(`${MANY} unconfirmed when cut off: ${JSON.stringify(many.count)}`)
  console.error(`connected after that: ${JSON.stringify(fresh.count)}`)
  const isWell = ({ sent, confirmed }) => sent === confirmed
  const isStuck = ({ confirmed, refused, ended }) => confirmed === 1 && refused === 0 && ended === 0
  const holds = isWell(few.count) && isStuck(many.count) && isWell(fresh.count)
  console.error(holds ? 'as described' : 'CHANGED')
  process.exit(holds ? 0 : 1)
})()
JS
mkfifo answers
exec 3<>answers
node finding.cjs "${ports[0]}" <&3 | while read -r what; do
  ctl r1@localhost eval "$(cat "$what")" >&2
  echo done >&3
done
