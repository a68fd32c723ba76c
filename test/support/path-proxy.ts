/** A reverse proxy that forwards everything below a path to another server, as web servers do. */

import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { atEnd } from './at-end.ts'

export interface PathProxy {
  /** Its own address, without the path. */
  url: string
  /** Requests outside the path: some link or form leads to the wrong place. */
  strays: string[]
}

/**
 * @param path with a slash at its end, such as `/stats/`
 * @param strips whether it takes the path off: with nginx, `proxy_pass http://panel:3200/` does and
 *   `proxy_pass http://panel:3200` does not
 */
export async function startPathProxy(
  t: TestContext,
  { upstream, path, strips }: { upstream: string; path: string; strips: boolean },
): Promise<PathProxy> {
  const strays: string[] = []
  const server = createServer((asked, answer) => {
    const { url = '/', method, headers } = asked
    if (!url.startsWith(path)) {
      strays.push(`${method} ${url}`)
      answer.writeHead(404).end('somebody else is here')
      return
    }
    const below = strips ? url.slice(path.length - 1) : url
    const passed = request(new URL(below, upstream), { method, headers }, told => {
      answer.writeHead(told.statusCode!, told.headers)
      told.pipe(answer)
    })
    passed.on('error', () => answer.destroy())
    asked.pipe(passed)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  atEnd(t, () => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, strays }
}
