import {
  type Channel,
  type ChannelModel,
  type ConfirmChannel,
  connect,
  credentials,
  type SocketOptions,
} from 'amqplib'
import { amqpCode, DEAD_QUEUE, declareTopology, VIEWS_QUEUE } from './topology.ts'

export { amqpCode, type ChannelSource, onOwnChannel } from './topology.ts'

export interface ConnectionOptions {
  /** From `brokerUrl`. */
  url: string
  /** For connecting and setting up. */
  timeoutMs: number
  /** Destroys the socket, whatever state the connection is in: the one sure way out, of a half-open one too. */
  signal: AbortSignal
  /** TLS options for `amqps`. */
  tls?: SocketOptions | undefined
}

export interface LinkOptions extends ConnectionOptions {
  onBlocked(reason: string): void
  onUnblocked(): void
}

/** One connection to the broker with what is needed to publish on it. It does not come back: open another. */
export interface Link {
  channel: ConfirmChannel
  /** Fulfilled, with the reason, when the connection or the channel has ended in whatever way. */
  lost: Promise<Error>
  /** Set when the broker does not let this user declare; what is not there then comes back as unroutable. */
  declareRefused: Error | undefined
  /** Declares the topology once more. */
  declare(): Promise<void>
  /** Ends it in the orderly way. May never settle on a half-open connection. */
  close(): Promise<void>
}

/**
 * The URL as the AMQP client gets it: with a heartbeat, unless it names one.
 * @throws {TypeError} when it is none; without the URL, which holds a password
 */
export function brokerUrl(url: string, heartbeatSeconds: number): string {
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch {
    // The error of URL carries the text it could not read.
    throw new TypeError('url is not an amqp:// or amqps:// URL')
  }
  if (!['amqp:', 'amqps:'].includes(parsed.protocol)) {
    throw new TypeError('url is not an amqp:// or amqps:// URL')
  }
  if (parsed.hash !== '') throw new TypeError('url holds a bare #: write it as %23')
  if (!parsed.searchParams.has('heartbeat')) {
    parsed.searchParams.set('heartbeat', String(heartbeatSeconds))
  }
  return parsed.href
}

/**
 * User and password of a URL, whose percent-encoded bytes are UTF-8: amqplib takes them for Latin-1, and a password with an ü
 * for another. Undefined, and so left to amqplib, where there is none, and where the bytes are no UTF-8.
 */
export function credentialsOf(url: string): SocketOptions['credentials'] {
  const { username, password } = new URL(url)
  if (username === '' && password === '') return undefined
  try {
    return credentials.plain(decodeURIComponent(username), decodeURIComponent(password))
  } catch {
    return undefined
  }
}

/** Connects, declares the topology and opens a channel with confirms. When it rejects, abort the signal. */
export function openLink(options: LinkOptions): Promise<Link> {
  return openConnection(options, (connection, lost) => {
    connection.on('blocked', options.onBlocked)
    connection.on('unblocked', options.onUnblocked)
    return setUp(connection, lost)
  })
}

/**
 * Connects and sets up; `lost` is fulfilled, with the reason, when the connection has ended in whatever way. When
 * this rejects, abort the signal.
 */
export async function openConnection<T>(
  options: ConnectionOptions,
  setUp: (connection: ChannelModel, lost: Promise<Error>) => Promise<T>,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const timedOut = new Promise<never>((_, reject) => {
    const fail = () =>
      reject(new Error(`the broker at ${nameOf(options.url)} was not ready within ${options.timeoutMs} ms`))
    timer = setTimeout(fail, options.timeoutMs).unref()
  })
  try {
    return await Promise.race([connectAndSetUp(options, setUp), timedOut])
  } finally {
    clearTimeout(timer)
  }
}

/** As it is told to people: without user, password and options. */
function nameOf(url: string): string {
  const { protocol, host, pathname } = new URL(url)
  // A password with a slash in it that nobody has encoded ends in the path.
  return `${protocol}//${host}${pathname.includes('@') ? '' : pathname}`
}

async function connectAndSetUp<T>(
  { url, signal, tls }: ConnectionOptions,
  setUp: (connection: ChannelModel, lost: Promise<Error>) => Promise<T>,
): Promise<T> {
  const user = credentialsOf(url)
  const socketOptions: SocketOptions & { signal: AbortSignal } = {
    ...(user === undefined ? {} : { credentials: user }),
    ...tls,
    noDelay: true,
    signal,
  }
  const connection = await connect(url, socketOptions).catch((cause: unknown) => {
    throw new Error(`no connection to the broker at ${nameOf(url)}`, { cause })
  })
  const lost = new Promise<Error>(resolve => {
    connection.on('error', resolve)
    connection.on('close', error => resolve(error ?? new Error('the connection was closed')))
  })
  // The steps of setting up may wait for ever on a connection that died under them.
  const failed = lost.then(error => {
    throw error
  })
  return await Promise.race([setUp(connection, lost), failed])
}

/** Fulfilled when the channel has ended in whatever way. */
export function channelLost(channel: Channel): Promise<Error> {
  return new Promise<Error>(resolve => {
    channel.on('error', resolve)
    channel.on('close', () => resolve(new Error('the channel was closed')))
  })
}

async function setUp(connection: ChannelModel, connectionLost: Promise<Error>): Promise<Link> {
  const declare = () => declareTopology(connection, [VIEWS_QUEUE, DEAD_QUEUE])
  let declareRefused: Error | undefined
  try {
    await declare()
  } catch (error) {
    // 403: this user may only publish, and somebody else declares. `mandatory` tells whether somebody did.
    if (!(error instanceof Error) || amqpCode(error) !== 403) throw error
    declareRefused = error
  }
  const channel = await connection.createConfirmChannel()
  const lost = Promise.race([connectionLost, channelLost(channel)])
  return { channel, lost, declareRefused, declare, close: () => connection.close() }
}
