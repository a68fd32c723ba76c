/** How a setting that is wrong is shown to whoever has set it. */

const MOST_CHARACTERS = 100
const SCHEME = /^[a-z][a-z\d+.-]*:/i
/** `host=db password=hunter2`, `Server=db;Pwd=hunter2`: how other programs are told. Where it ends each of them says otherwise. */
const NAMED_SECRET = /(?<![?&#\w])(\w*(?:pass|pwd|secret|token|key)\w*\s*=).*$/is
/** What is written `scheme:` where `scheme://` is meant may have a password behind it. */
const WITHOUT_SLASHES =
  /((?:^|,)\s*(?:amqps?|https?|mysqls?|mariadb|postgres(?:ql)?|clickhouses?):)(?!\/\/).*$/is
/** `mysql://root:password/database`, of which the host was forgotten; also one of several, as the nodes of a cluster. */
const WITHOUT_HOST = /((?:^|,)\s*[a-z][a-z\d+.-]*:\/\/[^/:?#,]*):(?!\d{1,5}(?:[/?#,\s]|$))[^/?#]*/gi

/**
 * In quotes, on one line, and without what is secret in a URL: user and password, and the values behind a `?`. Where they
 * end is told by the last @, as a password in which nobody has encoded / ? # or @ ends anywhere.
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
