import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export const STYLE = readFileSync(join(import.meta.dirname, 'style.css'), 'utf8')

/** The name changes with the content, so browsers may cache it for ever. */
export const STYLE_PATH = `/style-${createHash('sha256').update(STYLE).digest('hex').slice(0, 12)}.css`
