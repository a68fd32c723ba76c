/**
 * The rows of a batch by column, for handing them to the thread of the connection. Numbers, bytes and the numbers of texts are in
 * buffers, which change hands without being copied. A text that comes again and again is handed over once.
 */

import type { SQLInputValue } from 'node:sqlite'
import {
  type ColumnType,
  type CountableRow,
  KEPT,
  KEPT_NAMES,
  type KeptName,
  type KeptRow,
  type KeptValue,
} from '../kept.ts'

const BYTES = 16
const WORDS = BYTES / Uint32Array.BYTES_PER_ELEMENT
/** In place of a null among numbers of texts. */
const NO_TEXT = 0xffff_ffff

interface Repeated {
  kind: 'repeated'
  /** In `texts` of the batch. */
  places: Uint32Array<ArrayBuffer>
}

interface Numbers {
  kind: 'number'
  numbers: Float64Array<ArrayBuffer>
}

interface Bytes {
  kind: 'bytes'
  /** 16 of each row; those of a null are not read. */
  bytes: Uint8Array<ArrayBuffer>
  isNull: Uint8Array<ArrayBuffer>
}

interface Texts {
  kind: 'text'
  texts: readonly (string | null)[]
}

type Column = Repeated | Numbers | Bytes | Texts

export interface Columns {
  rows: number
  /** Each text of the repeated columns once. */
  texts: readonly string[]
  /** In the order of `KEPT_NAMES`. */
  columns: readonly Column[]
}

const KINDS: Record<ColumnType, Column['kind']> = {
  text: 'text',
  digits: 'text',
  number: 'number',
  flag: 'number',
  time: 'number',
  // A batch has few days.
  day: 'repeated',
  uuid: 'bytes',
  hash: 'bytes',
}

function kindOf(name: KeptName): Column['kind'] {
  const { type, isRepeated } = KEPT[name]
  return isRepeated ? 'repeated' : KINDS[type]
}

export function toColumns(rows: readonly KeptRow[]): Columns {
  const placeOf = new Map<string, number>()
  const columns = KEPT_NAMES.map(name => toColumn(rows, name, placeOf))
  return { rows: rows.length, texts: [...placeOf.keys()], columns }
}

function toColumn(rows: readonly KeptRow[], name: KeptName, placeOf: Map<string, number>): Column {
  const kind = kindOf(name)
  if (kind === 'text') return { kind, texts: rows.map(row => row[name] as string | null) }
  // Loops, because `from` takes 55 ns a row to call a function for it, and a loop 2 ns.
  if (kind === 'number') {
    const numbers = new Float64Array(rows.length)
    for (let at = 0; at < rows.length; at++) numbers[at] = Number(rows[at]![name])
    return { kind, numbers }
  }
  if (kind === 'repeated') {
    const places = new Uint32Array(rows.length)
    for (let at = 0; at < rows.length; at++) {
      const text = rows[at]![name] as string | null
      let place = text === null ? NO_TEXT : placeOf.get(text)
      if (place === undefined) {
        place = placeOf.size
        placeOf.set(text!, place)
      }
      places[at] = place
    }
    return { kind, places }
  }
  const bytes = new Uint8Array(rows.length * BYTES)
  const digits = Buffer.from(bytes.buffer)
  const isNull = new Uint8Array(rows.length)
  for (let at = 0; at < rows.length; at++) {
    const hex = rows[at]![name] as string | null
    if (hex === null) isNull[at] = 1
    else digits.write(hex.replaceAll('-', ''), at * BYTES, 'hex')
  }
  return { kind, bytes, isNull }
}

/** The buffers, which the sender no longer has once they are sent. */
export function buffersOf({ columns }: Columns): ArrayBuffer[] {
  return columns.flatMap(column => {
    if (column.kind === 'repeated') return [column.places.buffer]
    if (column.kind === 'number') return [column.numbers.buffer]
    return column.kind === 'bytes' ? [column.bytes.buffer, column.isNull.buffer] : []
  })
}

/**
 * For each column, the value that a statement binds for a row. Bytes are valid until the next row is asked for: a view of its own for
 * each row would cost a twentieth of a batch's time.
 *
 * @param numberAt the number of a text, by its place in `texts`
 */
export function boundValues(
  { texts, columns }: Columns,
  numberAt: (place: number) => number,
): ((row: number) => SQLInputValue)[] {
  return columns.map((column, at) => {
    if (column.kind === 'repeated') {
      const { places } = column
      const valueAt = KEPT[KEPT_NAMES[at]!].isRepeated ? numberAt : (place: number) => texts[place]!
      return row => (places[row] === NO_TEXT ? null : valueAt(places[row]!))
    }
    if (column.kind === 'number') return row => column.numbers[row]!
    if (column.kind === 'text') return row => column.texts[row]!
    const { isNull } = column
    const words = new Uint32Array(column.bytes.buffer)
    const bound = new Uint32Array(WORDS)
    const bytes = new Uint8Array(bound.buffer)
    return row => {
      if (isNull[row] === 1) return null
      for (let at = 0; at < WORDS; at++) bound[at] = words[row * WORDS + at]!
      return bytes
    }
  })
}

/** A row that reads its fields from the columns when they are asked for. */
class RowOfColumns {
  readonly columns: Columns
  readonly row: number

  constructor(columns: Columns, row: number) {
    this.columns = columns
    this.row = row
  }
}

for (const [at, name] of KEPT_NAMES.entries()) {
  if (kindOf(name) === 'bytes') continue
  Object.defineProperty(RowOfColumns.prototype, name, { get: getterOf(name, at) })
}

function getterOf(name: KeptName, at: number): (this: RowOfColumns) => KeptValue {
  const kind = kindOf(name)
  if (kind === 'repeated') {
    return function () {
      const place = (this.columns.columns[at] as Repeated).places[this.row]!
      return place === NO_TEXT ? null : this.columns.texts[place]!
    }
  }
  if (kind === 'number') {
    const isFlag = KEPT[name].type === 'flag'
    return function () {
      const number = (this.columns.columns[at] as Numbers).numbers[this.row]!
      return isFlag ? number === 1 : number
    }
  }
  return function () {
    return (this.columns.columns[at] as Texts).texts[this.row]!
  }
}

export function rowAt(columns: Columns, row: number): CountableRow {
  return new RowOfColumns(columns, row) as unknown as CountableRow
}
