import type { Browser } from 'playwright-core'
import { findProgram } from './programs.ts'

/** Debian's Chromium, or another browser of its kind. */
export function findChromium(): string | undefined {
  return ['chromium', 'chromium-browser', 'google-chrome'].map(name => findProgram(name)).find(Boolean)
}

/** Chromium has no sandbox when it runs as root. It must make no network requests of its own. */
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
]

/** Starts a headless browser. It ends with this process. @throws {Error} when none is installed */
export async function launchChromium(): Promise<Browser> {
  const executablePath = findChromium()
  if (executablePath === undefined) throw new Error('Chromium is not installed: see tools/stack/install.ts')
  // Loaded only here, because callers of `findChromium` alone do not need it.
  const { chromium } = await import('playwright-core')
  return chromium.launch({ executablePath, args: ARGUMENTS })
}
