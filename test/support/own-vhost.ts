import type { TestContext } from 'node:test'
import type { Rabbitmq } from '../../tools/stack/rabbitmq.ts'

/** The URL of a new virtual host on the broker. It is deleted when the test ends. */
export async function ownVhost(t: TestContext, broker: Rabbitmq): Promise<string> {
  const vhost = await broker.vhost()
  t.after(() => vhost.delete())
  return vhost.url
}
