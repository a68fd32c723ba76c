import { createServer } from 'node:http'

/**
 * Tells a contender's count the way the service does, so that all are watched alike. `PORT` in the environment, as
 * for the service.
 */
export function serveCount(count: () => number): void {
  const server = createServer((_request, response) =>
    response.end(`postviews_events_total{outcome="counted",reason=""} ${count()}\n`),
  )
  server.listen(Number(process.env['PORT']), '127.0.0.1')
}
