/** Headers of every answer, whether a route, the framework or Node writes it. */
export const SECURITY_HEADERS = {
  'Content-Security-Policy':
    "default-src 'none';style-src 'self';img-src data:;form-action 'self';base-uri 'none';frame-ancestors 'none'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Origin-Agent-Cluster': '?1',
  // With `no-referrer`, forms would send `Origin: null`, which other sites can also make them send.
  'Referrer-Policy': 'same-origin',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
}
