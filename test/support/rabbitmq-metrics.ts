/** All metrics of RabbitMQ's Prometheus plugin that alerts and dashboard use. An alarm is 0 or 1. */
export const RABBITMQ_METRICS: ReadonlySet<string> = new Set([
  'rabbitmq_detailed_queue_messages_unacked',
  'rabbitmq_detailed_queue_consumers',
  'rabbitmq_alarms_memory_used_watermark',
  'rabbitmq_alarms_free_disk_space_watermark',
])
