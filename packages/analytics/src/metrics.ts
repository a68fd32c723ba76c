/** What is counted for Prometheus, on a registry of its own: each metric is named, labelled and explained here. */

import { INVALID_REASONS, type TimeSource } from '@postviews/client/src/index.ts'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from '@prometheus-io/client'
import type { DeadReason } from './dead-reason.ts'
import { NEWEST_RULES, type ZoneRules } from './store/zone-rules.ts'

const TIME_SOURCES = ['event', 'amqp', 'broker', 'receipt'] as const satisfies readonly TimeSource[]

export type Metrics = ReturnType<typeof createMetrics>

/**
 * All metrics of a process. Gauges of the current state are set only when `/metrics` is asked; every other metric is
 * updated by the code that it measures. A gauge whose value is unknown is absent, never 0.
 */
export function createMetrics(zoneRules: Pick<ZoneRules, 'source' | 'release'> = NEWEST_RULES) {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })

  const events = new Counter({
    name: 'postviews_events_total',
    help: 'Events consumed, by outcome: counted, duplicate (counted before), excluded (by EXCLUDE_USERS or EXCLUDE_NETWORKS), dead_lettered for the reason given, or discarded because postviews.dead refused them or has reached DEAD_MAX_BYTES',
    labelNames: ['outcome', 'reason'],
    registers,
  })
  events.inc({ outcome: 'counted', reason: '' }, 0)
  events.inc({ outcome: 'duplicate', reason: '' }, 0)
  events.inc({ outcome: 'excluded', reason: '' }, 0)
  const reasons = [...Object.keys(INVALID_REASONS), 'unstorable' satisfies DeadReason]
  for (const reason of reasons) {
    events.inc({ outcome: 'dead_lettered', reason }, 0)
    events.inc({ outcome: 'discarded', reason }, 0)
  }

  const timeSource = new Counter({
    name: 'postviews_time_source_total',
    help: 'Views by the source of their time; receipt means that the publisher sent none, so that a backlog counts on the day it was consumed',
    labelNames: ['source'],
    registers,
  })
  for (const source of TIME_SOURCES) timeSource.inc({ source }, 0)

  const zoneRulesInfo = new Gauge({
    name: 'postviews_zone_rules_info',
    help: "Always 1: the labels name the time zone rules by which this process counts days, with the release of IANA's database",
    labelNames: ['source', 'release'],
    registers,
  })
  zoneRulesInfo.set({ source: zoneRules.source, release: zoneRules.release }, 1)

  const lagSeconds = new Gauge({
    name: 'postviews_lag_seconds',
    help: 'How far the numbers are behind: 0 if the queues are empty and this process has had nothing uncommitted for more than 10 s, else the age of the latest counted view; absent if the broker or the store does not answer',
    registers,
  })
  const countedAgeSeconds = new Gauge({
    name: 'postviews_counted_age_seconds',
    help: 'How old the answered numbers are: the time since all recorded views were counted; below 1 if all of them are, always 0 on SQLite and MariaDB; absent if ClickHouse does not answer',
    registers,
  })
  const dead = new Gauge({
    name: 'postviews_dead_messages',
    help: 'Dead letters in postviews.dead, waiting for a decision; absent if the broker does not answer',
    registers,
  })
  const deadBytes = new Gauge({
    name: 'postviews_dead_bytes',
    help: 'Estimated size of the dead letters in postviews.dead, bodies and headers; absent if the broker does not answer, and in a process that does not consume',
    registers,
  })
  const deadMaxBytes = new Gauge({
    name: 'postviews_dead_max_bytes',
    help: 'DEAD_MAX_BYTES: the maximum size of all dead letters; above it, bad events are discarded. Absent in a process that does not consume',
    registers,
  })
  const storeUp = new Gauge({
    name: 'postviews_store_up',
    help: '1 if the store takes writes, else 0',
    registers,
  })
  const storeBroken = new Gauge({
    name: 'postviews_store_broken',
    help: '1 if the store fails in a way that no retry cures, such as a missing table or privilege (/readyz and the log name the step), else 0; absent in a process that does not consume',
    registers,
  })
  const brokerUp = new Gauge({
    name: 'postviews_broker_up',
    help: '1 if the broker answers, else 0; absent in a process that does not use it',
    registers,
  })
  const unacknowledged = new Gauge({
    name: 'postviews_unacknowledged_messages',
    help: 'Messages delivered to this process and not yet acknowledged: being processed or committed, or held until their dead letters are confirmed; absent in a process that does not consume',
    registers,
  })
  const retentionLastSuccess = new Gauge({
    name: 'postviews_retention_last_success_timestamp_seconds',
    help: 'When this process last completed retention (pruning and the purge of old dead letters), as Unix time; absent before the first time, and if another process always did it',
    registers,
  })
  const unknown = [
    lagSeconds,
    countedAgeSeconds,
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
    countedAgeSeconds,
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
      help: '0 for each part that /readyz names (store, broker or consumer), 1 for the other parts that this process needs; absent for those it does not need',
      labelNames: ['part'],
      registers,
    }),
    queueDepth: new Gauge({
      name: 'postviews_queue_messages',
      help: 'Messages in a queue, of up to 1,000 events each; absent if the broker does not answer',
      labelNames: ['queue'],
      registers,
    }),
    batchEvents: new Histogram({
      name: 'postviews_batch_events',
      help: 'Events per commit: near BATCH_EVENTS while a backlog is drained, else few',
      buckets: [1, 5, 10, 50, 100, 500, 1_000, 2_000, 5_000, 10_000, 20_000],
      registers,
    }),
    batchSeconds: new Histogram({
      name: 'postviews_batch_seconds',
      help: 'How long the store took to commit a batch, including retries',
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    }),
    rollsFailed: new Counter({
      name: 'postviews_rolls_failed_total',
      help: 'How often this process could not count what was recorded (ClickHouse only); it tries again within seconds',
      registers,
    }),
    idsIgnored: new Counter({
      name: 'postviews_ids_ignored_total',
      help: 'Views that came with an unusable id: the nil UUID, the max UUID (all f), or a message_id that is not a UUID; without another id they are counted at least once, not exactly once; fix the publisher',
      registers,
    }),
    timesAhead: new Counter({
      name: 'postviews_times_ahead_total',
      help: 'Views whose own time was between 5 minutes and a day ahead: they count at the time of receipt; a clock is wrong',
      registers,
    }),
    amqpTimesIgnored: new Counter({
      name: 'postviews_amqp_times_ignored_total',
      help: 'Views without a time of their own in a message whose AMQP time is invalid: before 2000, over 5 minutes ahead, or not a number; the next source of a time counts',
      registers,
    }),
    headersUnread: new Counter({
      name: 'postviews_headers_unread_total',
      help: 'Messages with an unreadable header (of an unknown type, or nested too deep): their events are counted from the bodies',
      registers,
    }),
    deadPurged: new Counter({
      name: 'postviews_dead_purged_total',
      help: 'Dead letters purged because they were older than DEAD_RETENTION_DAYS',
      registers,
    }),
    prunedRows: new Counter({
      name: 'postviews_pruned_rows_total',
      help: 'Raw rows removed because they were older than RAW_RETENTION_DAYS; no number changes',
      registers,
    }),
    logLinesDropped: new Counter({
      name: 'postviews_log_lines_dropped_total',
      help: 'Log lines dropped because stdout was not read in time; nothing else was delayed',
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

/** Sets a gauge; null means unknown, and leaves no sample. */
export function setKnown(gauge: Gauge, value: number | null): void {
  if (value === null) gauge.remove()
  else gauge.set(value)
}
