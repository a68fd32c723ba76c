/** A broker URL whose user, password and virtual host all have to be decoded. */

import { randomBytes } from 'node:crypto'
import type { TestContext } from 'node:test'
import { type TestVhost, testRabbitmq } from '../../tools/stack/for-tests.ts'

/** A virtual host, and the URL of its own user, who is removed when the test ends. */
export async function encodedUrl(t: TestContext): Promise<{ url: string; broker: TestVhost }> {
  const vhost = `read me/${randomBytes(4).toString('hex')}`
  const broker = await testRabbitmq(vhost)
  const user = encodeURIComponent(`josé@blog/${randomBytes(4).toString('hex')}`)
  const password = 'pü:s/s%40?'
  await broker.api('PUT', `/users/${user}`, { password, tags: '' })
  t.after(() => broker.api('DELETE', `/users/${user}`))
  const all = { configure: '.*', write: '.*', read: '.*' }
  await broker.api('PUT', `/permissions/${encodeURIComponent(vhost)}/${user}`, all)
  const { host, pathname } = new URL(broker.url)
  return { url: `amqp://${user}:${encodeURIComponent(password)}@${host}${pathname}`, broker }
}
