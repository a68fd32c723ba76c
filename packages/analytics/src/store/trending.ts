/** How far a post stands out: the formula of `docs/contract.md`, and which posts may be worth a look. */

/** Posts with fewer views in the last 24 hours do not stand out. */
export const LEAST_VIEWS = 10
/** Added to both sides of each comparison, so that small numbers, which change by chance, count for little. */
const SOFTENING = 10

/** What a post is compared with. */
export interface Compared {
  /** The views of the post in the last 24 hours. */
  last: number
  /** What is usual for the post in as many hours. */
  usual: number
  /** What the post usually adds to the site: less than `usual` if it is newer than the days that the site is compared with. */
  part: number
  siteLast: number
  siteUsual: number
}

/** The views that were to be expected: what is usual for the post, as the rest of the site does now. */
export function expectedOf({ last, usual, part, siteLast, siteUsual }: Compared): number {
  // Of the rest alone, so that a post does not raise what is expected of itself.
  return (usual * (siteLast - last + SOFTENING)) / (siteUsual - part + SOFTENING)
}

/** How far the post is above what was expected, in standard deviations of chance. */
export function scoreOf(compared: Compared): number {
  const expected = expectedOf(compared)
  return (compared.last - expected) / Math.sqrt(expected + SOFTENING)
}

/** What the site had, and what it usually has. */
export interface SiteCompared {
  siteLast: number
  siteUsual: number
  /** How much of the views of the days before makes what is usual: the length of the 24 hours by that of these days. */
  share: number
}

/** The score that the post has at most, in hundredths, from the views of whole days. */
export function boundOf(
  views: number,
  viewsBefore: number,
  { siteLast, siteUsual, share }: SiteCompared,
): number {
  const part = viewsBefore * share
  // A score rises with the views of the 24 hours, and falls with what is usual, which is no less than the post's part.
  const score = scoreOf({ last: Math.min(views, siteLast), usual: part, part, siteLast, siteUsual })
  return Math.max(0, Math.ceil(score * 100))
}

/** The same in SQL, from two columns. */
export function boundSql(
  views: string,
  viewsBefore: string,
  { siteLast, siteUsual, share }: SiteCompared,
): string {
  const [last, part] = [`least(${views}, ${siteLast})`, `(${viewsBefore} * ${share})`]
  const expected = `(${part} * (${siteLast} - ${last} + ${SOFTENING}) / (${siteUsual} - ${part} + ${SOFTENING}))`
  return `greatest(0, ceil((${last} - ${expected}) / sqrt(${expected} + ${SOFTENING}) * 100))`
}
