import type { Browser } from 'playwright-core'
import { findProgram } from './programs.ts'

/** Debian's, or whatever else there is of its kind. */
export function findChromium(): string | undefined {
  return ['chromium', 'chromium-browser', 'google-chrome'].map(name => findProgram(name)).find(Boolean)
}

/** As root it has no sandbox of its own; and nothing of it asks for anything on the network by itself. */
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
]

/** Starts a browser without a window. It ends with this process. @throws {Error} when there is none */
export async function launchChromium(): Promise<Browser> {
  const executablePath = findChromium()
  if (executablePath === undefined) throw new Error('Chromium is not installed: see tools/stack/install.ts')
  // Not before: whoever only asks for `findChromium` need not load it.
  const { chromium } = await import('playwright-core')
  return chromium.launch({ executablePath, args: ARGUMENTS })
}
