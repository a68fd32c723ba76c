/** Headers of every answer of the panel, whoever writes it: a route, the framework, or what is below it. */

const YEAR_SECONDS = 31_536_000

export type Headers = Readonly<Record<string, string>>

/** @param scriptHash of the one script that stands in the pages themselves */
export function securityHeaders(scriptHash: string): Headers {
  const policy = [
    "default-src 'none'",
    `script-src 'self' ${scriptHash}`,
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ]
  return {
    'Content-Security-Policy': policy.join(';'),
    'Cross-Origin-Embedder-Policy': 'require-corp',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Origin-Agent-Cluster': '?1',
    // `no-referrer` would have forms say `Origin: null`, which is also what other sites can make them say.
    'Referrer-Policy': 'same-origin',
    // Of this host alone: what is under its name may be somebody else's.
    'Strict-Transport-Security': `max-age=${YEAR_SECONDS}`,
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
  }
}
