/** Where the broker is: one URL, or one for each node of a cluster. */

const FORM =
  'is not a URL of the form amqp://user:password@host:port or amqps://user:password@host:port: a port is a number up to 65535; in a user or password, write / as %2F, ? as %3F, # as %23, @ as %40 and a comma as %2C'

/**
 * The URLs of one broker, or of the nodes of one cluster: a text with commas between them, or an array.
 *
 * @throws {TypeError} when a URL is wrong, or when they name different virtual hosts. The caller puts the setting's
 * name before the message, which begins with "is not …". It never quotes a URL, because a URL may hold a password.
 */
export function brokerUrls(value: string | readonly string[]): string[] {
  const parts: readonly unknown[] = typeof value === 'string' ? value.split(',') : value
  if (!Array.isArray(parts)) throw new TypeError('is neither a URL nor an array of them')
  if (parts.length === 0) throw new TypeError('names no broker')
  let firstVirtualHost: string | undefined
  return parts.map((part, index) => {
    const subject = parts.length === 1 ? '' : `names several brokers, of which number ${index + 1} `
    if (typeof part !== 'string') throw new TypeError(`${subject}is not a string`)
    const url = part.trim()
    const parsed = parse(url, subject)
    const virtualHost = virtualHostOf(parsed)
    firstVirtualHost ??= virtualHost
    if (virtualHost !== firstVirtualHost) {
      throw new TypeError(
        `${subject}has another virtual host than the first: all must be nodes of one cluster, and their URLs must end in the same /vhost`,
      )
    }
    return url
  })
}

function parse(url: string, subject: string): URL {
  if (url === '') throw new TypeError(`${subject}is empty: write a comma only between two URLs`)
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch {
    // URL's own error quotes the text, which may hold a password.
    throw new TypeError(`${subject}${FORM}`)
  }
  if (parsed.hostname === '' || !['amqp:', 'amqps:'].includes(parsed.protocol)) {
    throw new TypeError(`${subject}${FORM}`)
  }
  if (url.includes(',')) throw new TypeError(`${subject}holds a bare comma: write it as %2C`)
  if (url.includes('#')) throw new TypeError(`${subject}holds a bare #: write it as %23`)
  if (/%(?![\da-f]{2})/i.test(url)) throw new TypeError(`${subject}holds a bare %: write it as %25`)
  if (parsed.port === '0') throw new TypeError(`${subject}names port 0, which no broker has`)
  return parsed
}

/** As the AMQP client reads it: an empty path is the virtual host `/`. */
function virtualHostOf({ pathname }: URL): string {
  const encoded = pathname.slice(1)
  try {
    return decodeURIComponent(encoded) || '/'
  } catch {
    return encoded // The encoded bytes are not UTF-8.
  }
}
