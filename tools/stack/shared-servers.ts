import { EVERY_PART, ensureInstalled } from './install.ts'
import { type MariadbAddress, startMariadb } from './mariadb.ts'
import { type RabbitmqAddress, startRabbitmq } from './rabbitmq.ts'
import type { StopOptions } from './server.ts'

/** The environment variable that tells a test file of the run's servers: a `TestServers` as JSON. */
export const TEST_SERVERS = 'TEST_SERVERS'

export type TestServers = { rabbitmq: RabbitmqAddress; mariadb: MariadbAddress }

export type SharedServers = {
  addresses: TestServers
  /** Where the two servers keep their data and logs. */
  dirs: string[]
  stop(options?: StopOptions): Promise<void>
}

/** One broker and one database server for a whole test run; what is missing for the tests is installed first. */
export async function startSharedServers(say: (line: string) => void): Promise<SharedServers> {
  await ensureInstalled(EVERY_PART, say)
  const startedAt = performance.now()
  const [rabbitmq, mariadb] = await Promise.all([startRabbitmq(), startMariadb()])
  say(`RabbitMQ and MariaDB are up after ${((performance.now() - startedAt) / 1000).toFixed(1)} s.`)
  return {
    addresses: {
      rabbitmq: { url: rabbitmq.url, apiUrl: rabbitmq.apiUrl },
      mariadb: { url: mariadb.url },
    },
    dirs: [rabbitmq.dir, mariadb.dir],
    stop: async options => {
      await Promise.all([rabbitmq.stop(options), mariadb.stop(options)])
    },
  }
}
