/**
 * The device, browser and system that a person's user agent names. Only names from our lists are answered, because readers may send
 * any text.
 */

import { UAParser } from 'ua-parser-js'

/** Null: the agent does not tell. */
export interface Families {
  /** `phone`, `tablet`, `desktop`, `tv`, `console` or `headset`. */
  device: string | null
  browser: string | null
  os: string | null
}

/** Browsers within other apps, and devices, that ua-parser-js takes for the engine that they run on. */
const APPS: readonly [token: string, browser: string][] = [
  ['FBAN/Messenger', 'Messenger'],
  ['FB_IAB/Orca', 'Messenger'],
  ['Barcelona', 'Threads'],
  ['Ecosia', 'Ecosia'],
  ['Konqueror', 'Konqueror'],
  ['Web0S', 'LG TV'],
  ['SMART-TV', 'Samsung TV'],
  ['Notion/', 'Notion'],
  ['Telegram', 'Telegram'],
  ['Discord', 'Discord'],
  ['Slack', 'Slack'],
  ['Pinterest', 'Pinterest'],
  ['Viber', 'Viber'],
  ['Reddit/', 'Reddit'],
  ['PlayStation', 'PlayStation'],
  ['Nintendo', 'Nintendo'],
  ['GSA/', 'Google App'],
  ['OculusBrowser', 'Oculus Browser'],
]

/** The names of ua-parser-js that are not ours. */
const BROWSERS = new Map([
  ['Mobile Safari', 'Safari'],
  ['WebKit', 'Safari'],
  ['Chrome WebView', 'WebView'],
  ['Chrome Headless', 'Chrome'],
  ['Chromium', 'Chrome'],
  ['Mobile Chrome', 'Chrome'],
  ['Mobile Firefox', 'Firefox'],
  ['Firefox Focus', 'Firefox'],
  ['Firefox Reality', 'Firefox'],
  ['Opera Touch', 'Opera'],
  ['Opera GX', 'Opera'],
  ['Opera Mobi', 'Opera'],
  ['IE', 'Internet Explorer'],
  ['IEMobile', 'Internet Explorer'],
  ['KAKAOTALK', 'Kakao Talk'],
  ['Line', 'LINE'],
  ['PaleMoon', 'Pale Moon'],
  ['QQBrowser', 'QQ Browser'],
  ['UCBrowser', 'UC Browser'],
  ['Yandex', 'Yandex Browser'],
])

/** ua-parser-js hands on a name in any letter case that the agent has, so one browser could have thousands of names. Others are null. */
const KNOWN_BROWSERS = new Set([
  ...BROWSERS.values(),
  ...APPS.map(([, browser]) => browser),
  'Avast Secure Browser',
  'AVG Secure Browser',
  'Android Browser',
  'Brave',
  'Chrome',
  'Coc Coc',
  'DuckDuckGo',
  'Edge',
  'Epiphany',
  'Facebook',
  'Firefox',
  'Heytap',
  'Huawei Browser',
  'Instagram',
  'LibreWolf',
  'LinkedIn',
  'MIUI Browser',
  'Maxthon',
  'Opera',
  'Opera Mini',
  'Puffin',
  'Safari',
  'Samsung Internet',
  'SeaMonkey',
  'Silk',
  'Snapchat',
  'Sogou Explorer',
  'TikTok',
  'Vivaldi',
  'Vivo Browser',
  'Waterfox',
  'WeChat',
  'Whale',
])

const SYSTEMS = new Map([
  ['Android', 'Android'],
  ['Chromium OS', 'ChromeOS'],
  ['FreeBSD', 'FreeBSD'],
  ['HarmonyOS', 'HarmonyOS'],
  ['KAIOS', 'KaiOS'],
  ['Linux', 'Linux'],
  ['Mac OS', 'macOS'],
  ['NetBSD', 'NetBSD'],
  ['Nintendo', 'Nintendo'],
  ['OpenBSD', 'OpenBSD'],
  ['OpenHarmony', 'HarmonyOS'],
  ['PlayStation', 'PlayStation'],
  ['Tizen', 'Tizen'],
  ['Windows', 'Windows'],
  ['Windows Phone', 'Windows Phone'],
  ['Xbox', 'Xbox'],
  ['iOS', 'iOS'],
  ['webOS', 'webOS'],
])
/** ua-parser-js names these instead of Linux. */
const LINUXES = new Set(['Arch', 'CentOS', 'Debian', 'Fedora', 'Gentoo', 'Manjaro', 'Mint', 'SUSE', 'Ubuntu'])

const DEVICES = new Map([
  ['mobile', 'phone'],
  ['tablet', 'tablet'],
  ['console', 'console'],
  ['smarttv', 'tv'],
])
const DESKTOPS = new Set(['Windows', 'macOS', 'Linux', 'ChromeOS', 'FreeBSD', 'NetBSD', 'OpenBSD'])

export function familiesOf(userAgent: string): Families {
  const found = new UAParser(userAgent).getResult()
  const os = LINUXES.has(found.os.name ?? '') ? 'Linux' : (SYSTEMS.get(found.os.name ?? '') ?? null)
  return { device: deviceOf(userAgent, found.device.type, os), browser: browserOf(userAgent, found), os }
}

function browserOf(userAgent: string, { browser: { name = '' } }: UAParser.IResult): string | null {
  const app = APPS.find(([token]) => userAgent.includes(token))
  if (app !== undefined) return app[1]
  const browser = BROWSERS.get(name) ?? name
  return KNOWN_BROWSERS.has(browser) ? browser : null
}

function deviceOf(userAgent: string, type: string | undefined, os: string | null): string | null {
  if (/\b(?:OculusBrowser|Quest)\b/.test(userAgent)) return 'headset'
  if (/\b(?:BRAVIA|AFT[A-Z]{1,5}|GoogleTV|Google TV|Android TV|SMART-TV)\b/.test(userAgent)) return 'tv'
  if (os === 'Android' && /\bMobile\b/.test(userAgent)) return 'phone'
  const device = DEVICES.get(type ?? '')
  if (device !== undefined) return device
  if (os === 'Android' || os === 'iOS' || os === 'KaiOS') return 'phone'
  return os !== null && DESKTOPS.has(os) ? 'desktop' : null
}
