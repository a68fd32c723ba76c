/** The relay's metrics, in Prometheus's text format. No client library: it would be a dependency of every blog. */

import type { Drain } from './drain.ts'
import type { Intake } from './intake.ts'
import type { LineServer } from './line-server.ts'
import type { Spool } from './spool.ts'

export interface Measured {
  intake: Intake
  spool: Spool
  drain: Drain
  lines: LineServer
  maxBytes: number
  damagedRecords: number
}

/** A sample for each set of labels. */
interface Metric {
  name: string
  type: 'counter' | 'gauge'
  help: string
  samples(measured: Measured): [labels: string, value: number][]
}

function one(name: string, type: Metric['type'], help: string, read: (measured: Measured) => number): Metric {
  return { name, type, help, samples: measured => [['', read(measured)]] }
}

export const RELAY_METRICS: readonly Metric[] = [
  one(
    'accepted_total',
    'counter',
    'Events answered ok: they were on the disk.',
    ({ intake }) => intake.accepted,
  ),
  {
    name: 'refused_total',
    type: 'counter',
    help: 'Events refused, by reason.',
    samples: ({ intake }) => [...intake.refused].map(([reason, events]) => [`{reason="${reason}"}`, events]),
  },
  one('confirmed_total', 'counter', 'Events that the broker has confirmed.', ({ drain }) => drain.confirmed),
  one(
    'republished_total',
    'counter',
    'Events published again, under the same id.',
    ({ drain }) => drain.republished,
  ),
  one('spool_bytes', 'gauge', 'Size of the files of the spool.', ({ spool }) => spool.bytes),
  one('spool_max_bytes', 'gauge', 'RELAY_MAX_BYTES.', ({ maxBytes }) => maxBytes),
  one('spool_writable', 'gauge', '1 unless the last write to the spool failed.', ({ spool }) =>
    Number(!spool.isDiskRefusing),
  ),
  one(
    'damaged_records_total',
    'counter',
    'Damaged places in the spool, where no record can be read.',
    ({ damagedRecords }) => damagedRecords,
  ),
  one('broker_connected', 'gauge', '1 while there is a connection to the broker.', ({ drain }) =>
    Number(drain.isConnected),
  ),
  one(
    'broker_blocked',
    'gauge',
    '1 while the broker blocks publishers because it is short of memory or disk.',
    ({ drain }) => Number(drain.isBlocked),
  ),
  one('connections', 'gauge', 'Connections on the socket.', ({ lines }) => lines.connections),
]

const PREFIX = 'postviews_relay_'

export function metricsText(measured: Measured): string {
  return RELAY_METRICS.map(({ name, type, help, samples }) => {
    const lines = samples(measured).map(([labels, value]) => `${PREFIX}${name}${labels} ${value}\n`)
    return `# HELP ${PREFIX}${name} ${help}\n# TYPE ${PREFIX}${name} ${type}\n${lines.join('')}`
  }).join('')
}
