/**
 * Where a reader came from: a source that people know by name, its channel, and the campaign of the link. The names are
 * in `sources.tsv`.
 */

import { readFileSync } from 'node:fs'
import { cut } from '@postviews/client/src/view.ts'
import { hostOf, withoutWww } from '../store/hosts.ts'

export const CHANNELS = [
  'direct',
  'search',
  'social',
  'ai',
  'news',
  'email',
  'referral',
  'campaign',
  'internal',
  'other',
] as const
export type Channel = (typeof CHANNELS)[number]

export interface Origin {
  /** Null: nobody told, or the reader was on the site already. */
  source: string | null
  channel: Channel
  campaign: string | null
}

/** What the address of the post says about the link that led to it. Null where a parameter is absent or empty. */
export interface Utm {
  source: string | null
  medium: string | null
  campaign: string | null
  ref: string | null
}

type From = Omit<Origin, 'campaign'>

const MAX_UTM_CHARACTERS = 100

/** Names as links spell them, without spaces, hyphens and underscores. `sms`, `push` and `qr` name none of our channels. */
const MEDIUMS: Partial<Record<Channel, string>> = {
  email: 'email mail newsletter',
  social: 'social socialmedia socialnetwork organicsocial sm',
  search: 'organic organicsearch search seo',
  news: 'news rss feed aggregator',
  ai: 'ai llm aiassistant assistant chatbot',
  referral: 'referral referrer link',
  // Whatever is paid for, wherever it is shown. A word that begins with `paid` is one of these too.
  campaign:
    'cpc ppc cpm cpv cpa cpp ad ads display banner affiliate affiliates retargeting sponsored campaign',
}
export const CHANNEL_OF_MEDIUM: ReadonlyMap<string, Channel> = new Map(
  Object.entries(MEDIUMS).flatMap(([channel, words]) =>
    words.split(' ').map(word => [word, channel as Channel]),
  ),
)

const HOSTS = new Map<string, From>()
const APPS = new Map<string, From>()
const NAMES = new Map<string, From>()
const APP = 'android-app://'

/** The version of the list. It rises with every change of the list or of the rules below, so that old views can be derived again. */
export const SOURCES_VERSION = readSources(readFileSync(new URL('./sources.tsv', import.meta.url), 'utf8'))

function readSources(text: string): number {
  const rows = text.split('\n').filter(line => line !== '' && !line.startsWith('#'))
  let suffixes: string[] = []
  for (const row of rows) {
    const [source = '', channel = '', patterns = ''] = row.split('\t')
    if (source === '*') {
      suffixes = patterns.split(' ')
      continue
    }
    const from = { source, channel: channel as Channel }
    NAMES.set(nameKey(source.toLowerCase()), from)
    for (const pattern of patterns.split(' ')) {
      if (pattern.startsWith(APP)) APPS.set(pattern.slice(APP.length), from)
      else if (pattern.endsWith('.*'))
        for (const suffix of suffixes) HOSTS.set(pattern.slice(0, -1) + suffix, from)
      else (pattern.includes('.') ? HOSTS : NAMES).set(pattern, from)
    }
  }
  return Number(/^# version (\d+)\n/.exec(text)?.[1])
}

/** `Hacker News`, `hacker-news` and `hacker_news` are one name. */
function nameKey(text: string): string {
  return text.replace(/[\s_-]/g, '')
}

/** @param url absolute, or path and query. Of a parameter that comes twice, the first value counts. */
export function utmOf(url: string | null): Utm {
  const [address = ''] = (url ?? '').split('#', 1)
  const start = address.indexOf('?')
  // Never throws: what is not valid percent-encoding stays as it is, and bytes that are not UTF-8 become U+FFFD.
  const query = new URLSearchParams(start < 0 ? '' : address.slice(start + 1))
  return {
    source: utmText(query.get('utm_source')),
    medium: utmText(query.get('utm_medium')),
    campaign: utmText(query.get('utm_campaign')),
    ref: utmText(query.get('ref')),
  }
}

function utmText(value: string | null): string | null {
  if (value === null) return null
  // Lower case can be longer, so it comes before the cut. The cut may leave a space at the end.
  const text = value
    .replace(/\p{Cc}/gu, '')
    .trim()
    .toLowerCase()
  return cut(text, MAX_UTM_CHARACTERS)!.trimEnd() || null
}

/**
 * The first rule that holds:
 *
 * 1. An own host, and no parameter: `internal`.
 * 2. `utm_source`, else `ref`, is the source: by the list's name and channel, or the text itself and `campaign`.
 * 3. The referer: an own host says nothing more; a host or an app of the list; another host is its own source and
 *    `referral`, another app `other`.
 * 4. Nothing is known: `direct`, or `campaign` where `utm_medium` or `utm_campaign` shows that somebody made the link.
 *
 * In 2 to 4, the channel is the one that `utm_medium` names, if it names one.
 *
 * @param isOwn whether a host, without `www.`, is the site's own
 */
export function originOf(referer: string | null, utm: Utm, isOwn: (host: string) => boolean): Origin {
  const { campaign, medium } = utm
  const named = utm.source ?? utm.ref
  const isTagged = named !== null || medium !== null || campaign !== null
  const placed = ofReferer(referer, isOwn)
  if (placed?.channel === 'internal' && !isTagged) return { source: null, channel: 'internal', campaign }
  const outside = placed?.channel === 'internal' ? null : placed
  const unknown: From = { source: null, channel: isTagged ? 'campaign' : 'direct' }
  const { source, channel } = named !== null ? ofName(named) : (outside ?? unknown)
  return { source, channel: channelOfMedium(medium) ?? channel, campaign }
}

function channelOfMedium(medium: string | null): Channel | undefined {
  const word = nameKey(medium ?? '')
  return word.startsWith('paid') ? 'campaign' : CHANNEL_OF_MEDIUM.get(word)
}

/** A name of the list, or a host, as in `utm_source=chatgpt.com`. */
function ofName(name: string): From {
  const listed = NAMES.get(nameKey(name)) ?? (hostOf(name) === '' ? undefined : ofHost(name))
  return listed ?? { source: name, channel: 'campaign' }
}

/** Null for what names no host, as for `refererHost`. */
function ofReferer(referer: string | null, isOwn: (host: string) => boolean): From | null {
  const { protocol, hostname } = URL.parse(referer ?? '') ?? { protocol: '', hostname: '' }
  const isApp = protocol === 'android-app:'
  if (!isApp && protocol !== 'http:' && protocol !== 'https:') return null
  const source = withoutWww(hostOf(hostname))
  if (source === '') return null
  if (isOwn(source)) return { source: null, channel: 'internal' }
  if (isApp) return APPS.get(source) ?? { source, channel: 'other' }
  return ofHost(source) ?? { source, channel: 'referral' }
}

/** The longest host of the list that the host ends with, by whole labels. DNS allows 127 labels, so this ends soon. */
function ofHost(host: string): From | undefined {
  for (let rest = host; ; rest = rest.slice(rest.indexOf('.') + 1)) {
    const listed = HOSTS.get(rest)
    if (listed !== undefined || !rest.includes('.')) return listed
  }
}
