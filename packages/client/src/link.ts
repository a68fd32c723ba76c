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

/** Until the broker has let us in: TCP, TLS and AMQP's own greeting. One that takes longer is hung, and another may not be. */
const CONNECT_TIMEOUT_MS = 5_000

export interface ConnectionOptions {
  /** From `brokerUrl`. */
  url: string
  /** For connecting. 5,000. */
  connectTimeoutMs?: number
  /** For setting up, once connected. */
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
  /** On the same connection: declares the topology once more, opens another channel and closes this one. */
  renew(): Promise<Link>
  /** Ends it in the orderly way. May never settle on a half-open connection. */
  close(): Promise<void>
}

/** A URL, one that `brokerUrls` gave, as the AMQP client gets it: with a heartbeat, unless it names one. */
export function brokerUrl(url: string, heartbeatSeconds: number): string {
  const parsed = new URL(url)
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
    return setUp(connection, listening(lost), options.timeoutMs)
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
  const { url, timeoutMs, connectTimeoutMs = CONNECT_TIMEOUT_MS } = options
  const broker = `the broker at ${nameOf(url)}`
  const { connection, lost } = await within(connectTimeoutMs, `${broker} did not answer`, connectTo(options))
  // The steps of setting up may wait for ever on a connection that died under them.
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

/** As it is told to people: without user, password and options. */
export function nameOf(url: string): string {
  const { protocol, host, pathname } = new URL(url)
  // A password with a slash in it that nobody has encoded ends in the path.
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

/** What the AMQP client's words mean, where only somebody who knows the protocol would guess it. */
function whyRefused(cause: unknown): string {
  const words = cause instanceof Error ? cause.message : ''
  if (words.includes('Expected ConnectionOpenOk')) {
    return ', which does not let this user into the virtual host at the end of the URL, or has none of that name'
  }
  if (words.includes('exceeds maxFrameSize')) return ': what listens there does not speak AMQP'
  if (words.includes('wrong version number')) {
    return ': what listens there does not speak TLS; without TLS the URL begins with amqp:'
  }
  return ''
}

/** Fulfilled when the channel has ended in whatever way. */
export function channelLost(channel: Channel): Promise<Error> {
  return new Promise<Error>(resolve => {
    channel.on('error', resolve)
    channel.on('close', () => resolve(new Error('the channel was closed')))
  })
}

/** Adds a listener, who is told once, and gives what takes it away again. */
type Listening = (listener: (error: Error) => void) => () => void

/** A promise never forgets who has waited for it, and one connection may have any number of channels, one after the other. */
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
    // 403: this user may only publish, and somebody else declares. `mandatory` tells whether somebody did.
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
      // It has ended by itself, and nobody uses it any more.
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
