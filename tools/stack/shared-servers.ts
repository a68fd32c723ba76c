import { EVERY_PART } from './install.ts'
import { type MysqlAddress, startMysql } from './mysql.ts'
import { type RabbitmqAddress, startRabbitmq } from './rabbitmq.ts'
import type { StopOptions } from './server.ts'
import { ensureParts } from './stack-install.ts'
import { chosenStack } from './stacks.ts'

/** The environment variable through which test files find the run's servers: a `TestServers` as JSON. */
export const TEST_SERVERS = 'TEST_SERVERS'

export type TestServers = { rabbitmq: RabbitmqAddress; mysql: MysqlAddress }

export type SharedServers = {
  addresses: TestServers
  /** The data and log folders of the two servers. */
  dirs: string[]
  stop(options?: StopOptions): Promise<void>
}

/** One broker and one database server for a whole test run. Installs first what the tests lack. */
export async function startSharedServers(say: (line: string) => void): Promise<SharedServers> {
  const stack = chosenStack()
  await ensureParts(EVERY_PART, stack, say)
  const startedAt = performance.now()
  const [rabbitmq, mysql] = await Promise.all([startRabbitmq(), startMysql()])
  say(
    `RabbitMQ and ${stack?.sqlName ?? 'MariaDB'}${stack ? ` of ${stack.name}` : ''} are up after ${((performance.now() - startedAt) / 1000).toFixed(1)} s.`,
  )
  return {
    addresses: {
      rabbitmq: { url: rabbitmq.url, apiUrl: rabbitmq.apiUrl },
      mysql: { url: mysql.url, isMysql: mysql.isMysql },
    },
    dirs: [rabbitmq.dir, mysql.dir],
    stop: async options => {
      await Promise.all([rabbitmq.stop(options), mysql.stop(options)])
    },
  }
}
