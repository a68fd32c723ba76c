/**
 * Loaded before the service (`NODE_OPTIONS=--import=…`). Shifts its clock by the number of seconds in the file that
 * CLOCK_SHIFT_FILE names, as soon as they are written there.
 */

import { readFileSync } from 'node:fs'

const file = process.env['CLOCK_SHIFT_FILE']!
const trueNow = Date.now
const shiftedNow = () => trueNow() + Number(readFileSync(file, 'utf8')) * 1_000

globalThis.Date = new Proxy(Date, {
  construct: (target, values, newTarget) =>
    Reflect.construct(target, values.length === 0 ? [shiftedNow()] : values, newTarget),
  apply: target => new target(shiftedNow()).toString(),
  get: (target, name, receiver) => (name === 'now' ? shiftedNow : Reflect.get(target, name, receiver)),
})
