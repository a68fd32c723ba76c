/** podman, as the programs of this folder call it. */

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** @throws {Error} with what the program printed; its `code` is the exit code */
export async function output(program: string, ...args: string[]): Promise<string> {
  try {
    const { stdout } = await run(program, args, { maxBuffer: 64 * 1024 * 1024 })
    return stdout.trim()
  } catch (error) {
    const { stdout, stderr, code } = error as { stdout?: string; stderr?: string; code?: number }
    const said = `${stdout ?? ''}\n${stderr ?? ''}`.trim()
    throw Object.assign(new Error(`${[program, ...args].join(' ')}: ${said}`, { cause: error }), { code })
  }
}

export function podman(...args: string[]): Promise<string> {
  return output('podman', ...args)
}
