/** What is counted for Prometheus, on a registry of its own: each metric is named, labelled and explained here. */

import { INVALID_REASONS, type TimeSource } from '@postviews/client'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from '@prometheus-io/client'
import type { DeadReason } from './ingest/dead-letter.ts'
import { NEWEST_RULES, type ZoneRules } from './store/zone-rules.ts'

const TIME_SOURCES = ['event', 'amqp', 'broker', 'receipt'] as const satisfies readonly TimeSource[]

export type Metrics = ReturnType<typeof createMetrics>

/**
 * All metrics of a process. Gauges of how it is now are written by `/metrics` alone, when it is asked; the rest by whoever
 * does what is counted. A gauge whose value is not known is absent, never 0.
 */
export function createMetrics(zoneRules: Pick<ZoneRules, 'source' | 'release'> = NEWEST_RULES) {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })

  const events = new Counter({
    name: 'postviews_events_total',
    help: 'Events taken off the queues, by what came of them: counted, duplicate (counted before), dead_lettered for the reason given, or discarded because postviews.dead refused them or holds DEAD_MAX_BYTES',
    labelNames: ['outcome', 'reason'],
    registers,
  })
  events.inc({ outcome: 'counted', reason: '' }, 0)
  events.inc({ outcome: 'duplicate', reason: '' }, 0)
  const reasons = [...Object.keys(INVALID_REASONS), 'unstorable' satisfies DeadReason]
  for (const reason of reasons) {
    events.inc({ outcome: 'dead_lettered', reason }, 0)
    events.inc({ outcome: 'discarded', reason }, 0)
  }

  const timeSource = new Counter({
    name: 'postviews_time_source_total',
    help: 'Views by where their time was taken from; receipt means that the publisher gave none, so a backlog of it lands on the day it was consumed',
    labelNames: ['source'],
    registers,
  })
  for (const source of TIME_SOURCES) timeSource.inc({ source }, 0)

  const zoneRulesInfo = new Gauge({
    name: 'postviews_zone_rules_info',
    help: "Always 1: the labels say which time zone rules this process counts days by, the release being that of IANA's database",
    labelNames: ['source', 'release'],
    registers,
  })
  zoneRulesInfo.set({ source: zoneRules.source, release: zoneRules.release }, 1)

  const lagSeconds = new Gauge({
    name: 'postviews_lag_seconds',
    help: 'How far the statistics are behind: 0 when nothing waits in the queues and this process has had nothing uncommitted in hand for more than 10 s, else the age of the latest view counted; absent when the broker or the store cannot be asked',
    registers,
  })
  const dead = new Gauge({
    name: 'postviews_dead_messages',
    help: 'Dead letters in postviews.dead that wait for somebody to decide; absent when the broker cannot be asked',
    registers,
  })
  const deadBytes = new Gauge({
    name: 'postviews_dead_bytes',
    help: 'What the dead letters in postviews.dead take, bodies and headers, as an estimate; absent when the broker cannot be asked, and in a process that consumes nothing',
    registers,
  })
  const deadMaxBytes = new Gauge({
    name: 'postviews_dead_max_bytes',
    help: 'DEAD_MAX_BYTES: what the dead letters may take, beyond which bad events are discarded; absent in a process that consumes nothing',
    registers,
  })
  const storeUp = new Gauge({
    name: 'postviews_store_up',
    help: '1 when the store takes writes, 0 when it does not',
    registers,
  })
  const storeBroken = new Gauge({
    name: 'postviews_store_broken',
    help: '1 when the store refuses what no retry cures, such as a table or a privilege that is missing: /readyz and the log name the step; 0 otherwise; absent in a process that consumes nothing',
    registers,
  })
  const brokerUp = new Gauge({
    name: 'postviews_broker_up',
    help: '1 when the broker answers, 0 when it does not; absent in a process that does not talk to it',
    registers,
  })
  const unacknowledged = new Gauge({
    name: 'postviews_unacknowledged_messages',
    help: 'Messages that the broker has handed to this process and that it has not acknowledged: in hand, being committed, or held until their dead letters are confirmed; absent in a process that consumes nothing',
    registers,
  })
  const retentionLastSuccess = new Gauge({
    name: 'postviews_retention_last_success_timestamp_seconds',
    help: 'When this process last finished retention, prune and the purge of old dead letters both, as Unix time; absent before it first has, and where another process always came first',
    registers,
  })
  const unknown = [
    lagSeconds,
    dead,
    deadBytes,
    deadMaxBytes,
    storeUp,
    storeBroken,
    brokerUp,
    unacknowledged,
    retentionLastSuccess,
  ]
  for (const gauge of unknown) setKnown(gauge, null)

  return {
    registry,
    events,
    timeSource,
    lagSeconds,
    dead,
    deadBytes,
    deadMaxBytes,
    storeUp,
    storeBroken,
    brokerUp,
    unacknowledged,
    retentionLastSuccess,
    ready: new Gauge({
      name: 'postviews_ready',
      help: '0 for each part that /readyz names: store, broker or consumer; 1 for the others that this process needs; absent for those it does not need',
      labelNames: ['part'],
      registers,
    }),
    queueDepth: new Gauge({
      name: 'postviews_queue_messages',
      help: 'Messages that wait in a queue (one holds up to 1,000 events); absent when the broker cannot be asked',
      labelNames: ['queue'],
      registers,
    }),
    batchEvents: new Histogram({
      name: 'postviews_batch_events',
      help: 'Events committed together, a batch: near BATCH_EVENTS while a backlog drains, small when all is well',
      buckets: [1, 5, 10, 50, 100, 500, 1_000, 2_000, 5_000, 10_000, 20_000],
      registers,
    }),
    batchSeconds: new Histogram({
      name: 'postviews_batch_seconds',
      help: 'How long the store took to commit a batch, retries included',
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    }),
    idsIgnored: new Counter({
      name: 'postviews_ids_ignored_total',
      help: 'Views that came with an unusable id: the nil UUID, the max UUID (all f), or a message_id that is not a UUID; without another they are counted at least once, not exactly once; tell their publisher',
      registers,
    }),
    timesAhead: new Counter({
      name: 'postviews_times_ahead_total',
      help: 'Views whose own time was over 5 minutes and up to a day ahead: they count as of when they were received; the clock of their publisher is wrong',
      registers,
    }),
    amqpTimesIgnored: new Counter({
      name: 'postviews_amqp_times_ignored_total',
      help: 'Views without a time of their own in a message whose AMQP time cannot be one: before 2000, over 5 minutes ahead, or no number; the next source of a time counts',
      registers,
    }),
    headersUnread: new Counter({
      name: 'postviews_headers_unread_total',
      help: 'Messages with a header that cannot be read (of an unknown type, or nested too deep): their events are counted by their bodies',
      registers,
    }),
    deadPurged: new Counter({
      name: 'postviews_dead_purged_total',
      help: 'Dead letters purged because they were older than DEAD_RETENTION_DAYS: nobody looked at them',
      registers,
    }),
    prunedRows: new Counter({
      name: 'postviews_pruned_rows_total',
      help: 'Raw rows removed because they were older than RAW_RETENTION_DAYS; no number changes',
      registers,
    }),
    logLinesDropped: new Counter({
      name: 'postviews_log_lines_dropped_total',
      help: 'Lines of the log that were dropped because whoever reads stdout did not; nothing else waits for it',
      registers,
    }),
    httpSeconds: new Histogram({
      name: 'postviews_http_request_seconds',
      help: 'How long the internal API took to answer, by route, method and status',
      labelNames: ['route', 'method', 'status'],
      buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    }),
  }
}

/** Sets a gauge; null is what is not known: there is no sample then. */
export function setKnown(gauge: Gauge, value: number | null): void {
  if (value === null) gauge.remove()
  else gauge.set(value)
}
