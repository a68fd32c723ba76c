import { mkdtemp, realpath, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensureInstalled } from './install.ts'
import { holdFreePort } from './ports.ts'
import { findProgram } from './programs.ts'
import { answers, Server, startOnFreePorts } from './server.ts'

export type Zookeeper = {
  port: number
  /** Elements for a ClickHouse's config.xml that make this server its Keeper. */
  config: string[]
  stop(): Promise<void>
}

const JARS = '/usr/share/java/*'

/**
 * Installs ZooKeeper if it is missing, and starts a private one on 127.0.0.1 in a temporary folder. It stops when this process
 * ends.
 * @throws {StartFailed} with the tail of its log
 */
export async function startZookeeper(): Promise<Zookeeper> {
  await ensureInstalled(['zookeeper'], line => console.error(line))
  return startOnFreePorts(startOnce)
}

async function startOnce(): Promise<Zookeeper> {
  const dir = await mkdtemp(join(await realpath(tmpdir()), 'postviews-zookeeper-'))
  const held = await holdFreePort()
  const configFile = join(dir, 'zoo.cfg')
  await writeFile(
    configFile,
    `dataDir=${dir}
clientPort=${held.port}
clientPortAddress=127.0.0.1
tickTime=500
admin.enableServer=false
4lw.commands.whitelist=ruok
`,
  )
  const server = new Server({
    name: 'ZooKeeper',
    command: [
      findProgram('java')!,
      '-Xmx128m',
      '-cp',
      JARS,
      'org.apache.zookeeper.server.quorum.QuorumPeerMain',
      configFile,
    ],
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: dir, LANG: 'C.UTF-8' },
    cwd: dir,
    logFile: join(dir, 'console.log'),
    removeDir: dir,
    ready: () => answers(held.port, 'ruok'),
    startTimeoutMs: 60_000,
    stopTimeoutMs: 10_000,
  })
  try {
    await server.start()
  } catch (error) {
    await server.stop()
    throw error
  }
  return {
    port: held.port,
    config: [
      `<zookeeper><node><host>127.0.0.1</host><port>${held.port}</port></node></zookeeper>`,
      '<keeper_map_path_prefix>/maps</keeper_map_path_prefix>',
    ],
    stop: async () => {
      await server.stop()
      held.release()
    },
  }
}
