/**
 * Numbers, texts and nulls as the text of a PostgreSQL array. The one that `pg` makes is the same, but replaces twice in each element,
 * which took a tenth of the service's CPU.
 */

const MUST_BE_ESCAPED = /["\\]/
const ESCAPED = /["\\]/g

export function arrayText(values: readonly unknown[]): string {
  let text = '{'
  for (let at = 0; at < values.length; at++) {
    if (at > 0) text += ','
    const value = values[at]
    if (value === null) text += 'NULL'
    else if (typeof value === 'string') text += `"${escaped(value)}"`
    else text += String(value)
  }
  return `${text}}`
}

function escaped(text: string): string {
  return MUST_BE_ESCAPED.test(text) ? text.replace(ESCAPED, '\\$&') : text
}
