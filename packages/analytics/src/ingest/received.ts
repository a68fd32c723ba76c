/** A message as long as it is in hand. */

import type { ConsumeMessage, MessageProperties } from 'amqplib'

/**
 * What is needed of a message until it is acknowledged. Of all that amqplib makes of one this is a third, and thousands
 * are in hand at a time.
 */
export interface ReceivedMessage
  extends Pick<MessageProperties, 'messageId' | 'timestamp' | 'contentType' | 'type' | 'appId'> {
  deliveryTag: number
  content: Buffer
  /** When it came to the broker, where that says so: Unix milliseconds. */
  stampedAtMs: unknown
}

export function receivedMessage({ fields, properties, content }: ConsumeMessage): ReceivedMessage {
  const { messageId, timestamp, contentType, type, appId, headers } = properties
  return {
    deliveryTag: fields.deliveryTag,
    content,
    messageId,
    timestamp,
    contentType,
    type,
    appId,
    stampedAtMs: headers?.['timestamp_in_ms'],
  }
}
