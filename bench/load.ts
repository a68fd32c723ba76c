/** Sends requests to an HTTP server again and again, on connections that stay open. */

import { Agent, get, type OutgoingHttpHeaders } from 'node:http'

export interface LoadOptions {
  /** The URL of the next request: `http://127.0.0.1:PORT/PATH`. */
  nextUrl(): string
  headers?: OutgoingHttpHeaders
  /** Each sends a request, waits for the answer, and repeats. */
  connections: number
  seconds: number
}

export interface Loaded {
  requestsPerSecond: number
  /** Milliseconds of each request, from sending it to the answer's last byte. */
  tookMs: number[]
}

/** @throws {Error} at the first answer that is not 200 */
export async function load({ nextUrl, headers = {}, connections, seconds }: LoadOptions): Promise<Loaded> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const tookMs: number[] = []
  const startMs = performance.now()
  const untilMs = startMs + seconds * 1_000
  const ask = async () => {
    while (performance.now() < untilMs) {
      const askedMs = performance.now()
      await request(nextUrl(), headers, agent)
      tookMs.push(performance.now() - askedMs)
    }
  }
  try {
    await Promise.all(Array.from({ length: connections }, ask))
    return { requestsPerSecond: (tookMs.length * 1_000) / (performance.now() - startMs), tookMs }
  } finally {
    agent.destroy()
  }
}

function request(url: string, headers: OutgoingHttpHeaders, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    const asked = get(url, { headers, agent, timeout: 60_000 }, response => {
      response.resume()
      response.on('error', reject)
      response.on('end', () => {
        if (response.statusCode === 200) resolve()
        else reject(new Error(`${new URL(url).pathname} answers ${response.statusCode}`))
      })
    })
    asked.on('timeout', () => asked.destroy(new Error(`${new URL(url).pathname} does not answer`)))
    asked.on('error', reject)
  })
}
