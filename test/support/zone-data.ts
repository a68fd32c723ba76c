/** Loaded before the service (`--import`): its zone data are those of the file ZONE_DATA, of another release maybe. */

import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'

const source = readFileSync(process.env['ZONE_DATA']!, 'utf8')

registerHooks({
  load: (url, context, nextLoad) =>
    url.endsWith('/moment-timezone/data/packed/latest.json')
      ? { format: 'json', source, shortCircuit: true }
      : nextLoad(url, context),
})
