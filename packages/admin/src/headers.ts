/** Headers of every answer of the panel, whether a route, the framework or Node writes it. */

const YEAR_SECONDS = 31_536_000

export type Headers = Readonly<Record<string, string>>

/** @param scriptHash of the one inline script of the pages */
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
    // With `no-referrer`, forms would send `Origin: null`, which other sites can send too.
    'Referrer-Policy': 'same-origin',
    // Without includeSubDomains: a subdomain may be somebody else's.
    'Strict-Transport-Security': `max-age=${YEAR_SECONDS}`,
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
  }
}
