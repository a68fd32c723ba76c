/** The relay's one wiring: everything is built here, in the order it starts, and ended in reverse. */

import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { endOnSignals } from '../ending.ts'
import { brokerUrl, nameOf } from '../link.ts'
import { describe } from '../log.ts'
import { PUBLISHER_DEFAULTS } from '../tracker.ts'
import { type RelayConfig, readRelayConfig, relaySettingsHelp } from './config.ts'
import { Drain } from './drain.ts'
import { Intake } from './intake.ts'
import { LineServer } from './line-server.ts'
import { listening, listenOnActivated, listenOnSocket } from './listen.ts'
import { RelayLog } from './log.ts'
import { metricsText } from './metrics.ts'
import { Spool } from './spool.ts'

/** Accepted events are answered much sooner, unless the disk hangs. */
const ANSWER_MS = 3_000
const PUBLISH_MS = 5_000

/** Exit codes. `usage`: the next start would fail in the same way. */
const EXIT = { ok: 0, failed: 1, usage: 2 } as const

/** Runs until a signal ends it, or until it cannot start. */
export async function runRelay(
  env: Record<string, string | undefined>,
  args: readonly string[],
): Promise<never> {
  let config: RelayConfig
  try {
    const text = answerTo(args)
    if (text !== undefined) {
      console.log(text)
      process.exit(EXIT.ok)
    }
    config = readRelayConfig(env)
  } catch (error) {
    console.error(`postviews-relay: ${(error as Error).message}`)
    process.exit(EXIT.usage)
  }
  const log = new RelayLog(config.logLevel)
  const ending = endOnSignals({
    onSignal: signal => log.write('info', 'relay.stopping', { signal }),
    onOverdue: () => log.write('fatal', 'relay.overdue'),
  })
  const ends: (() => Promise<unknown>)[] = []
  try {
    await start(config, log, ends)
    await aborted(ending.signal)
  } catch (error) {
    log.write('fatal', 'relay.failed', { error: describe(error) })
    for (const end of ends) await end().catch(() => {})
    return log.leave(EXIT.failed)
  }
  for (const end of ends) await end()
  return log.leave(EXIT.ok)
}

/** Adds to `ends` how to stop each part, in reverse order of starting. */
async function start(
  { amqpUrls, socket, spool: folder, maxBytes, port, host }: RelayConfig,
  log: RelayLog,
  ends: (() => Promise<unknown>)[],
): Promise<void> {
  let damagedRecords = 0
  let at: AddressInfo | undefined
  const spool = await Spool.open({
    folder,
    maxBytes,
    onDurable: () => drain.wake(),
    onAnswered: () => lines.resume(),
    onDamaged: (segment, at, bytes) => {
      damagedRecords++
      log.write('error', 'spool.damaged', { segment, at, bytes })
    },
    onUnfinished: (segment, bytes) => log.write('info', 'spool.unfinished', { segment, bytes }),
    onDisk: error => {
      if (error === undefined) log.write('info', 'spool.writable')
      else log.rarely('error', 'spool.unwritable', { error: describe(error) })
    },
  })
  ends.unshift(async () => {
    await spool.close()
    log.write('info', 'relay.stopped', { spoolBytes: spool.bytes })
  })
  const intake = new Intake(spool, log)
  ends.unshift(async () => intake.report())
  const drain = new Drain({
    spool,
    urls: amqpUrls.map(url => brokerUrl(url, PUBLISHER_DEFAULTS.heartbeatSeconds)),
    log,
  })
  ends.unshift(() => drain.stop(PUBLISH_MS))
  const lines = new LineServer({ intake, spool, log })

  ends.unshift(async () => {
    await Promise.race([lines.stop(), sleep(ANSWER_MS)])
    lines.destroy()
  })

  if (port !== null) {
    // Loaded only if needed: Node's HTTP takes 10 MB of memory.
    const { createHttpServer } = await import('./http-server.ts')
    const http = createHttpServer({
      intake,
      readiness: () => ({
        problem: spool.isDiskRefusing
          ? 'the spool cannot be written'
          : spool.isFull
            ? 'the spool is full'
            : undefined,
        warnings: drain.isConnected
          ? []
          : [`the broker is away, and views wait in the spool: ${drain.problem}`],
      }),
      metrics: () => metricsText({ intake, spool, drain, lines, maxBytes, damagedRecords }),
    })
    ends.unshift(async () => {
      const closed = new Promise<void>(resolve => http.close(() => resolve()))
      http.closeIdleConnections()
      await Promise.race([closed, sleep(ANSWER_MS)])
      http.closeAllConnections()
    })
    await listening(http, () => http.listen(port, host)).catch((cause: unknown) => {
      throw new Error(`cannot listen on RELAY_HOST ${host}, RELAY_PORT ${port}`, { cause })
    })
    at = http.address() as AddressInfo
  }
  // Has to run first of all.
  ends.unshift(async () => intake.stop())
  if (socket === null) await listenOnActivated(lines.server)
  else await listenOnSocket(lines.server, socket)
  log.write('info', 'relay.started', {
    pid: process.pid,
    socket: socket ?? 'passed by systemd',
    spool: folder,
    spoolBytes: spool.bytes,
    maxBytes,
    http: at === undefined ? null : `http://${at.address}:${at.port}`,
    brokers: amqpUrls.map(nameOf),
  })
}

const USAGE = `Usage: postviews-relay

Accepts views on a socket, writes them to disk, and publishes them to RabbitMQ: docs/relay.md.

Options:
  --help     show this help
  --version  show the version

Settings come from the environment:

${relaySettingsHelp()}

Exit codes: 0 ended by a signal, 1 failure, 2 wrong usage or settings.`

/** The text that an option asks for, instead of a relay. @throws {Error} for an unknown option */
function answerTo(args: readonly string[]): string | undefined {
  const [option] = args
  if (option === undefined) return undefined
  if (option === '--help' || option === '-h') return USAGE
  if (option !== '--version') throw new Error(`unknown argument ${option}: run with --help for usage`)
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return String(JSON.parse(manifest).version)
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
