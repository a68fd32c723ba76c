import { join } from 'node:path'
import { ensurePackage } from './registry-package.ts'

const NODES_PACKAGE = join(import.meta.dirname, '..', 'nodes')

/**
 * Programs of the Node versions that `@postviews/client` supports: the oldest, those between, and this one. The first call
 * downloads the older ones.
 * @param say is called with a line of text for each step that has to be done
 * @throws {Error} with npm's output
 */
export async function clientNodes(say: (line: string) => void): Promise<string[]> {
  await ensurePackage({ folder: NODES_PACKAGE, name: 'Node 20 and 22', size: '80 MB' }, say)
  const older = ['node-20', 'node-22'].map(name => join(NODES_PACKAGE, 'node_modules', name, 'bin/node'))
  return [...older, process.execPath]
}
