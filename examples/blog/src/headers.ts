/** Headers of every answer, whoever writes it: a route, the framework, or what is below it. */
export const SECURITY_HEADERS = {
  'Content-Security-Policy':
    "default-src 'none';style-src 'self';img-src data:;form-action 'self';base-uri 'none';frame-ancestors 'none'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Origin-Agent-Cluster': '?1',
  // `no-referrer` would have forms say `Origin: null`, which is also what other sites can make them say.
  'Referrer-Policy': 'same-origin',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
}
