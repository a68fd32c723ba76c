import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** What the kernel knows about a process, read from /proc: for tests that check whether something is left behind, or exposed. */

/** True when no such process runs. A zombie counts as ended. */
export function hasEnded(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat[stat.lastIndexOf(')') + 2] === 'Z'
  } catch {
    return true
  }
}

/** The TCP addresses that a process listens on: `127.0.0.1:5672`, `[::1]:4369`; other IPv6 addresses as hexadecimal digits. */
export function listeningAddresses(pid: number): string[] {
  const sockets = new Set<string>()
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`))?.[1]
    if (inode) sockets.add(inode)
  }
  const addresses: string[] = []
  for (const table of ['tcp', 'tcp6']) {
    for (const line of readFileSync(`/proc/${pid}/net/${table}`, 'utf8').trim().split('\n').slice(1)) {
      const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/)
      if (state === LISTEN && sockets.has(inode)) addresses.push(readable(local))
    }
  }
  return addresses.sort()
}

/** The pid of our process that listens on 127.0.0.1:port. */
export function listenerOn(port: number): number | undefined {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .find(pid => {
      try {
        return listeningAddresses(pid).includes(`127.0.0.1:${port}`)
      } catch {
        return false // The process has ended meanwhile, or belongs to another user.
      }
    })
}

const LISTEN = '0A'
const IPV6_LOOPBACK = '00000000000000000000000001000000'

function linkOf(file: string): string {
  try {
    return readlinkSync(file)
  } catch {
    return '' // The descriptor was closed after it was listed.
  }
}

/** The kernel prints each word of an address in the machine's byte order, little-endian here. */
function readable(local: string): string {
  const [address = '', port = ''] = local.split(':')
  const bytes = Buffer.from(address, 'hex')
  const host = address === IPV6_LOOPBACK ? '[::1]' : bytes.length === 4 ? bytes.reverse().join('.') : address
  return `${host}:${Number.parseInt(port, 16)}`
}
