/** How an invalid setting is shown in an error message. */

const MOST_CHARACTERS = 100
const SCHEME = /^[a-z][a-z\d+.-]*:/i
/** `host=db password=hunter2`, `Server=db;Pwd=hunter2`: settings of other programs. Each program ends a value differently. */
const NAMED_SECRET = /(?<![?&#\w])(\w*(?:pass|pwd|secret|token|key)\w*\s*=).*$/is
/** `scheme:` instead of `scheme://`: a password may follow. */
const WITHOUT_SLASHES =
  /((?:^|,)\s*(?:amqps?|https?|mysqls?|mariadb|postgres(?:ql)?|clickhouses?):)(?!\/\/).*$/is
/** `mysql://root:password/database`, without its host; also as one of several URLs, for the nodes of a cluster. */
const WITHOUT_HOST = /((?:^|,)\s*[a-z][a-z\d+.-]*:\/\/[^/:?#,]*):(?!\d{1,5}(?:[/?#,\s]|$))[^/?#]*/gi

/**
 * In quotes, on one line, and without the secrets of a URL: user and password, and the values behind a `?`.
 * User and password end at the last @, because a password may hold an unencoded / ? # or @.
 */
export function shownValue(text: string): string {
  const shown = text
    .replace(/^([a-z][a-z\d+.-]*:\/\/)?.*@/is, '$1…@')
    .replace(WITHOUT_SLASHES, '$1…')
    .replace(WITHOUT_HOST, '$1:…')
    .replace(NAMED_SECRET, '$1…')
    .replace(/([?&#][^=&#]*)=[^&#]*/g, SCHEME.test(text) ? '$1=…' : '$&')
  const cut = [...shown]
  return JSON.stringify(cut.length > MOST_CHARACTERS ? `${cut.slice(0, MOST_CHARACTERS).join('')}…` : shown)
}
