import { createServer } from 'node:http'

/**
 * Serves a contender's count in the service's format, so that all contenders are watched in the same way. `PORT` in the
 * environment, as for the service.
 */
export function serveCount(count: () => number): void {
  const server = createServer((_request, response) =>
    response.end(`postviews_events_total{outcome="counted",reason=""} ${count()}\n`),
  )
  server.listen(Number(process.env['PORT']), '127.0.0.1')
}
