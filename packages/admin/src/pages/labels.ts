/** How the values of dimensions are called on pages. */

import type { DimensionName } from '@postviews/client/src/figures.ts'
import * as format from './format.ts'
import type { ValueRow } from './model.ts'

const CHANNELS: Record<string, string> = {
  direct: 'Direct',
  search: 'Search engines',
  social: 'Social networks',
  ai: 'AI assistants',
  news: 'News and aggregators',
  email: 'Email',
  referral: 'Other sites',
  campaign: 'Campaigns',
  internal: 'This site’s own pages',
  other: 'Apps and others',
}

const DEVICES: Record<string, string> = {
  phone: 'Phone',
  tablet: 'Tablet',
  desktop: 'Desktop',
  tv: 'TV',
  console: 'Console',
  headset: 'Headset',
}

const PURPOSES: Record<string, string> = {
  search: 'Search engines',
  ai_training: 'AI training',
  ai_answer: 'AI answers, fetched for a person',
  preview: 'Link previews',
  feed: 'Feed readers',
  monitor: 'Monitoring',
  seo: 'SEO tools',
  tool: 'Tools and scripts',
  other: 'Other',
}

const REGIONS = new Intl.DisplayNames('en', { type: 'region', fallback: 'code' })

/** What a list of values is called: as a tab, and as a noun for what it leaves out. */
export const LISTS: Record<DimensionName, { tab: string; noun: string; none: string }> = {
  hour: { tab: 'Hours', noun: 'hour', none: 'Unknown' },
  channel: { tab: 'Channels', noun: 'channel', none: 'Unknown' },
  source: { tab: 'Sources', noun: 'source', none: 'Direct or this site’s own pages' },
  referrer: { tab: 'Sites', noun: 'site', none: 'Direct or unknown' },
  campaign: { tab: 'Campaigns', noun: 'campaign', none: 'Without a campaign' },
  country: { tab: 'Countries', noun: 'country', none: 'Unknown' },
  device: { tab: 'Devices', noun: 'device', none: 'Unknown' },
  browser: { tab: 'Browsers', noun: 'browser', none: 'Unknown' },
  os: { tab: 'Systems', noun: 'system', none: 'Unknown' },
  bot: { tab: 'Names', noun: 'machine', none: 'Unknown' },
  purpose: { tab: 'Purposes', noun: 'purpose', none: 'Unknown' },
}

export function valueName(dimension: DimensionName, value: string | null): string {
  if (value === null) return LISTS[dimension].none
  if (dimension === 'channel') return CHANNELS[value] ?? value
  if (dimension === 'device') return DEVICES[value] ?? value
  if (dimension === 'purpose') return PURPOSES[value] ?? value
  if (dimension === 'country') return regionName(value)
  if (dimension === 'bot' && value === 'unknown') return 'Machines that no list names'
  return value
}

function regionName(code: string): string {
  // Of anything else `of` throws.
  return /^[A-Z]{2}$/.test(code) ? (REGIONS.of(code) ?? code) : code
}

/** The flag of a country, as the two letters that fonts draw as one. */
export function flagOf(code: string): string | null {
  if (!/^[A-Z]{2}$/.test(code)) return null
  return String.fromCodePoint(...[...code].map(letter => 0x1f1e6 + letter.charCodeAt(0) - 65))
}

export function rowName(dimension: DimensionName, { kind, value, values }: ValueRow): string {
  if (kind === 'value' || kind === 'none') return valueName(dimension, value)
  // A page of the whole list names each of the site's own hosts.
  if (kind === 'internal')
    return value !== null && dimension === 'referrer' ? `${value}, this site` : CHANNELS['internal']!
  if (kind === 'unknown') return 'Not recorded'
  return othersOf(LISTS[dimension].noun, values)
}

/** `3 other sites`, `1 other site`; with a plus where there may be more. */
function othersOf(noun: string, values: ValueRow['values']): string {
  const { count, isMore } = values ?? { count: 1, isMore: true }
  const several = `other ${noun.replace(/y$/, 'ie')}s`
  if (isMore) return `${format.number(count)}+ ${several}`
  return count === 1 ? `1 other ${noun}` : `${format.number(count)} ${several}`
}
