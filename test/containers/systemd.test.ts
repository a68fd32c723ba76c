/** deploy/systemd, installed by the commands of docs/relay.md under a systemd that is process 1. */

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { until } from '../support/until.ts'
import { bootSystemd } from './systemd-machine.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const UNIT = 'postviews-relay.service'
const SOCKET = 'postviews-relay.socket'
const SEND = 'echo \'{"post_uuid":"hello-world"}\' | socat -t 5 - UNIX-CONNECT:/run/postviews.sock'
/** Twenty starts, a second and a little more apart. */
const GIVEN_UP_MS = 90_000

/** The command in backticks that begins so. */
function between(document: string, beginning: string): string {
  const found = document.split('`').find(code => code.startsWith(beginning))
  assert.ok(found !== undefined, `docs/relay.md has no ${beginning}`)
  return found
}

test('the relay is installed as documented, answers on the socket that systemd keeps, and keeps its spool', async t => {
  const machine = await bootSystemd(t)
  const document = await readFile(join(ROOT, 'docs/relay.md'), 'utf8')
  const [, commands] = /\n## With systemd\n.*?```sh\n(.*?)```/s.exec(document)!
  // `npm ci` has run already, and the test must not run it again in the checkout that it shares.
  const typed = commands!.replace(' && npm ci', '')
  assert.notEqual(typed, commands)

  // No broker is there: what is taken stays.
  assert.equal((await machine.type(typed)).split('\n').at(-1), 'ok')
  const pid = async () => Number(await machine.type(`systemctl show --property=MainPID --value ${UNIT}`))
  const accepted = async () => {
    const metrics = await machine.type('curl -s http://127.0.0.1:3400/metrics')
    return Number(/^postviews_relay_accepted_total (\d+)$/m.exec(metrics)?.[1])
  }
  assert.equal(await accepted(), 1)
  assert.equal(await machine.type('stat -c "%a %U:%G" /run/postviews.sock'), '660 root:www-data')
  assert.equal(await machine.type('stat -L -c %a /var/lib/postviews-relay'), '700')
  assert.equal(await machine.type('stat -c %a /var/lib/private/postviews-relay/*.views'), '600')

  const status = await machine.type(`cat /proc/${await pid()}/status`)
  assert.match(status, /^CapBnd:\t0+$/m)
  assert.match(status, /^NoNewPrivs:\t1$/m)
  assert.match(status, /^Seccomp:\t2$/m)
  assert.doesNotMatch(status, /^[UG]id:.*\b0\b/m)

  // PHP is let in, and nobody else is.
  const as = (user: string, group: string) =>
    `setpriv --reuid=${user} --regid=${group} --clear-groups sh -c '${SEND.replaceAll("'", `'"'"'`)}'`
  assert.equal(await machine.type(as('www-data', 'www-data')), 'ok')
  await assert.rejects(machine.type(as('nobody', 'nogroup')), /Permission denied/)

  const killed = await pid()
  await machine.type(`kill -KILL ${killed}`)
  assert.equal(await machine.type(SEND), 'ok')
  await until('another runs', async () => ![0, killed].includes(await pid()))
  assert.equal(await accepted(), 1)
  const records = 'cat /var/lib/private/postviews-relay/*.views | grep -c hello-world'
  assert.equal(await machine.type(records), '3')

  await machine.type(`systemctl restart ${UNIT}`)
  assert.equal(await machine.type(SEND), 'ok')
  assert.equal(await machine.type(records), '4')
  await machine.type(`systemctl stop ${UNIT}`)
  assert.equal(await machine.type(`systemctl show --property=Result --value ${UNIT}`), 'success')
  // A view starts it again.
  assert.equal(await machine.type(SEND), 'ok')
  assert.equal(await accepted(), 1)

  // With the Node of the clone.
  await machine.type(`${between(document, 'sed -i ')}\nsystemctl daemon-reload\nsystemctl restart ${UNIT}`)
  assert.equal(await machine.type(SEND), 'ok')
  assert.equal(
    await machine.type(`readlink /proc/${await pid()}/exe`),
    '/opt/postviews/node_modules/node/bin/node',
  )

  // What cannot start is given up, and turns pages away at once; its spool stays.
  const hasFailed = async (...units: string[]) => {
    const failed = await machine.type('systemctl --failed --plain --no-legend')
    return units.every(unit => failed.includes(unit))
  }
  const mended = between(document, 'systemctl reset-failed ')
  const restart = (setting: string) =>
    machine.type(`echo ${setting} >> /etc/postviews/relay.env\nsystemctl restart ${UNIT}`)
  const mend = () => machine.type(`sed -i '$d' /etc/postviews/relay.env\n${mended}`)
  // An address of another machine.
  await restart('RELAY_HOST=192.0.2.1')
  await until('both have failed', () => hasFailed(UNIT, SOCKET), GIVEN_UP_MS)
  await assert.rejects(machine.type(SEND), /Connection refused/)
  await mend()
  assert.equal(await machine.type(SEND), 'ok')
  assert.equal(await machine.type(records), '7')

  // With settings that are wrong it is tried for pages alone.
  await restart('RELAY_MAX_BYTES=1')
  await until('it has failed', () => hasFailed(UNIT))
  assert.equal(await hasFailed(SOCKET), false)
  await machine.type(`${SEND} || true`)
  await until('both have failed', () => hasFailed(UNIT, SOCKET), GIVEN_UP_MS)
  await assert.rejects(machine.type(SEND), /Connection refused/)
  await mend()
  assert.equal(await machine.type(SEND), 'ok')
  assert.equal(await machine.type(records), '8')
})
