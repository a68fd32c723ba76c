/**
 * Installed as `docker`, it runs podman, so that the test can type the commands of the documents unchanged. It supports only
 * the commands that the documents use. tools/containers/main.ts puts it into its own namespaces.
 */

import { spawn } from 'node:child_process'
import { parseArgs } from 'node:util'
import { Compose } from './compose.ts'
import { onOuterNetwork } from './namespaces.ts'

process.exitCode = await main(process.argv.slice(2)).catch((error: Error) => {
  console.error(error.message)
  return 1
})

async function main([program, ...args]: string[]): Promise<number> {
  if (program === 'build') return become(onOuterNetwork(['podman', 'build', '--network=host', ...args]))
  if (program !== 'compose') return become(['podman', program!, ...args])
  const [option, file, verb, ...rest] = args
  if (option !== '-f' || file === undefined) throw new Error('docker compose needs -f FILE here')
  const compose = await Compose.read(file)
  switch (verb) {
    case 'build':
      await compose.build()
      return 0
    case 'up': {
      const options = {
        detach: { type: 'boolean', short: 'd' },
        build: { type: 'boolean' },
        wait: { type: 'boolean' },
      } as const
      const { values } = parseArgs({ args: rest, options })
      if (!values.detach) throw new Error('without -d it would stay')
      if (values.build) await compose.build()
      await compose.up({ wait: values.wait ?? false })
      return 0
    }
    case 'stop':
      await compose.stop(rest)
      return 0
    case 'down':
      await compose.down({ volumes: rest.includes('-v') })
      return 0
    case 'exec': {
      // There is no terminal, with -T or without.
      const [name, ...command] = rest[0] === '-T' ? rest.slice(1) : rest
      return become(['podman', 'exec', '--interactive', compose.containerOf(name!), ...command])
    }
    case 'run': {
      const [remove, name, ...command] = rest.filter(word => word !== '-T')
      if (remove !== '--rm') throw new Error('without --rm it would stay')
      return become(await compose.once(name!, command))
    }
    default:
      throw new Error(`docker compose ${verb} is not known here`)
  }
}

function become([program, ...args]: string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program!, args, { stdio: 'inherit' })
    child.once('error', reject)
    child.once('exit', code => resolve(code ?? 1))
  })
}
