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

/** For TCP, TLS and AMQP's own greeting. A broker that takes longer hangs; another one may not. */
const CONNECT_TIMEOUT_MS = 5_000

export interface ConnectionOptions {
  /** From `brokerUrl`. */
  url: string
  /** For connecting. 5,000. */
  connectTimeoutMs?: number
  /** For setting up, once connected. */
  timeoutMs: number
  /** Destroys the socket in any state of the connection: the one sure way to end it, even when it is half-open. */
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
  /** Fulfilled, with the reason, when the connection or the channel has ended for any reason. */
  lost: Promise<Error>
  /** Set when the broker does not let this user declare. If something is missing then, messages come back as unroutable. */
  declareRefused: Error | undefined
  /** On the same connection: declares the topology once more, opens another channel and closes this one. */
  renew(): Promise<Link>
  /** Closes the connection in order. May never settle on a half-open connection. */
  close(): Promise<void>
}

/** A URL from `brokerUrls` as the AMQP client gets it: with this heartbeat, unless the URL has one. */
export function brokerUrl(url: string, heartbeatSeconds: number): string {
  const parsed = new URL(url)
  if (!parsed.searchParams.has('heartbeat')) {
    parsed.searchParams.set('heartbeat', String(heartbeatSeconds))
  }
  return parsed.href
}

/**
 * User and password of a URL, whose percent-encoded bytes are UTF-8. amqplib reads them as Latin-1, which changes
 * a password with an ü. Undefined if there are none, or if the bytes are not UTF-8: amqplib reads them then.
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
    return setUp(connection, listening(lost), options.timeoutMs)
  })
}

/**
 * Connects and sets up; `lost` is fulfilled, with the reason, when the connection has ended for any reason.
 * When this rejects, abort the signal.
 */
export async function openConnection<T>(
  options: ConnectionOptions,
  setUp: (connection: ChannelModel, lost: Promise<Error>) => Promise<T>,
): Promise<T> {
  const { url, timeoutMs, connectTimeoutMs = CONNECT_TIMEOUT_MS } = options
  const broker = `the broker at ${nameOf(url)}`
  const { connection, lost } = await within(connectTimeoutMs, `${broker} did not answer`, connectTo(options))
  // A step of the set-up may wait for ever if the connection dies meanwhile.
  const failed = lost.then(error => {
    throw error
  })
  return await within(timeoutMs, `${broker} was not ready`, Promise.race([setUp(connection, lost), failed]))
}

/** @throws {Error} when the work takes longer. The work goes on, and its result is ignored. */
async function within<T>(ms: number, what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const timedOut = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} within ${ms} ms`)), ms).unref()
  })
  try {
    return await Promise.race([work, timedOut])
  } finally {
    clearTimeout(timer)
  }
}

/** A URL as it is shown to people: without user, password and options. */
export function nameOf(url: string): string {
  const { protocol, host, pathname } = new URL(url)
  // If a password holds an unencoded slash, the rest of it is in the path.
  return `${protocol}//${host}${pathname.includes('@') ? '' : pathname}`
}

async function connectTo({
  url,
  signal,
  tls,
}: ConnectionOptions): Promise<{ connection: ChannelModel; lost: Promise<Error> }> {
  const user = credentialsOf(url)
  const socketOptions: SocketOptions & { signal: AbortSignal } = {
    ...(user === undefined ? {} : { credentials: user }),
    ...tls,
    noDelay: true,
    signal,
  }
  const connection = await connect(url, socketOptions).catch((cause: unknown) => {
    throw new Error(`no connection to the broker at ${nameOf(url)}${whyRefused(cause)}`, { cause })
  })
  const lost = new Promise<Error>(resolve => {
    connection.on('error', resolve)
    connection.on('close', error => resolve(error ?? new Error('the connection was closed')))
  })
  return { connection, lost }
}

/** Explains messages of the AMQP client that only an expert in the protocol understands. */
function whyRefused(cause: unknown): string {
  const words = cause instanceof Error ? cause.message : ''
  if (words.includes('Expected ConnectionOpenOk')) {
    return ': the virtual host at the end of the URL does not exist, or this user may not use it'
  }
  if (words.includes('exceeds maxFrameSize')) return ': what listens there does not speak AMQP'
  if (words.includes('wrong version number')) {
    return ': what listens there does not speak TLS; without TLS the URL begins with amqp:'
  }
  return ''
}

/** Fulfilled when the channel has ended for any reason. */
export function channelLost(channel: Channel): Promise<Error> {
  return new Promise<Error>(resolve => {
    channel.on('error', resolve)
    channel.on('close', () => resolve(new Error('the channel was closed')))
  })
}

/** Adds a listener, which is called once, and returns a function that removes it. */
type Listening = (listener: (error: Error) => void) => () => void

/** A pending promise keeps all its callbacks, and one connection may have any number of channels, one after the other. */
function listening(lost: Promise<Error>): Listening {
  const listeners = new Set<(error: Error) => void>()
  let reason: Error | undefined
  void lost.then(error => {
    reason = error
    for (const listener of listeners) listener(error)
  })
  return listener => {
    if (reason === undefined) listeners.add(listener)
    else listener(reason)
    return () => listeners.delete(listener)
  }
}

async function setUp(
  connection: ChannelModel,
  onConnectionLost: Listening,
  timeoutMs: number,
): Promise<Link> {
  let declareRefused: Error | undefined
  try {
    await declareTopology(connection, [VIEWS_QUEUE, DEAD_QUEUE])
  } catch (error) {
    // 403: this user may only publish, and another user declares. `mandatory` shows whether that has happened.
    if (!(error instanceof Error) || amqpCode(error) !== 403) throw error
    declareRefused = error
  }
  const channel = await connection.createConfirmChannel()
  const renew = async () => {
    const link = await within(
      timeoutMs,
      'no other channel was open',
      setUp(connection, onConnectionLost, timeoutMs),
    )
    channel.close().catch(() => {
      // The channel has ended by itself, and nothing uses it any more.
    })
    return link
  }
  const lost = new Promise<Error>(resolve => {
    const forget = onConnectionLost(resolve)
    void channelLost(channel).then(error => {
      forget()
      resolve(error)
    })
  })
  return { channel, lost, declareRefused, renew, close: () => connection.close() }
}
