import assert from 'node:assert/strict'
import { test } from 'node:test'
import { received, view } from '../../../../test/support/views.ts'
import { Who } from '../derive/who.ts'
import { Calendar } from './calendar.ts'
import type { CountingSettings } from './counting-settings.ts'
import type { Day } from './days.ts'
import { RowRejected, StoreUnavailable } from './failures.ts'
import { KeyReplaced } from './key-replaced.ts'
import { visitorOf } from './row.ts'
import { type DerivedRows, RowsOfViews } from './rows-of-views.ts'

const who = new Who({ countries: null, ownHosts: [] })
const DAY = '2026-03-10'
const VIEWS = received([view(`${DAY}T12:00:00Z`), view('2026-03-11T12:00:00Z', { ip: '2001:db8::1' })])

/** A `RowsOfViews` whose keys contain how many keys were asked for before, and the days asked for. */
function rows() {
  const settings: CountingSettings = { timeZone: 'UTC', windowHours: 24, uniqueBy: 'ip', bots: 'count' }
  const asked: Day[] = []
  const rowsOf = new RowsOfViews({
    settings,
    calendar: new Calendar('UTC', 24),
    ipStorage: 'full',
    who: () => who,
    async askKey(day) {
      asked.push(day)
      return `${day} ${asked.length}`
    },
  })
  return { settings, asked, rowsOf }
}

const kept = async ({ rows }: DerivedRows) => ({ counted: rows.length, duplicates: 0 })

test('a day is asked for its key once, by batches at the same time too, and that is told', async () => {
  const { asked, rowsOf } = rows()
  assert.equal(rowsOf.hasAskedKeys, false)
  const recorded = [rowsOf.record(VIEWS, kept), rowsOf.record(VIEWS, kept)]
  assert.deepEqual(await Promise.all(recorded), Array(2).fill({ counted: 2, duplicates: 0 }))
  assert.equal(rowsOf.hasAskedKeys, true)
  rowsOf.hasAskedKeys = false
  await rowsOf.record(VIEWS, async ({ keys }) => {
    assert.deepEqual(Object.fromEntries(keys), { [DAY]: `${DAY} 1`, '2026-03-11': '2026-03-11 2' })
    return { counted: 2, duplicates: 0 }
  })
  assert.deepEqual(asked, [DAY, '2026-03-11'])
  assert.equal(rowsOf.hasAskedKeys, false)
})

test('a batch of known days is handed over at once', () => {
  const { rowsOf } = rows()
  return rowsOf.record(VIEWS, kept).then(() => {
    let isHandedOver = false
    void rowsOf.record(VIEWS, derived => {
      isHandedOver = true
      return kept(derived)
    })
    assert.equal(isHandedOver, true)
  })
})

test('a day whose key was replaced is hashed again under the new one, at once, and told of once', async () => {
  const { rowsOf } = rows()
  await rowsOf.record(VIEWS, kept)
  const visitors: string[] = []
  const recorded = await rowsOf.record(VIEWS, derived => {
    visitors.push(derived.rows[0]!.visitor)
    if (visitors.length === 1) throw new KeyReplaced(DAY)
    return kept(derived)
  })
  assert.deepEqual(recorded, { counted: 2, duplicates: 0, closedMeanwhile: [DAY] })
  const { ip, userAgent } = VIEWS[0]!.view
  assert.deepEqual(
    visitors,
    [1, 3].map(time => visitorOf(`${DAY} ${time}`, 'ip', ip, userAgent)),
  )
  assert.deepEqual(await rowsOf.record(VIEWS, kept), { counted: 2, duplicates: 0 })
})

test('a day that is closed again and again makes the store unavailable, and is told of afterwards', async () => {
  const { rowsOf } = rows()
  let tries = 0
  const recorded = rowsOf.record(VIEWS, async () => {
    tries++
    throw new KeyReplaced(DAY)
  })
  await assert.rejects(recorded, {
    constructor: StoreUnavailable,
    message: `${DAY} was closed by another process 5 times in a row`,
  })
  assert.equal(tries, 5)
  assert.deepEqual((await rowsOf.record(VIEWS, kept)).closedMeanwhile, [DAY])
})

test('after a failure of the store every key is asked for again, after a rejected row none', async () => {
  const { asked, rowsOf } = rows()
  const failing = (error: Error) => rowsOf.record(VIEWS, () => Promise.reject(error))
  await assert.rejects(failing(new RowRejected('a rule')), RowRejected)
  await rowsOf.record(VIEWS, kept)
  assert.equal(asked.length, 2)
  await assert.rejects(failing(new StoreUnavailable('away')), StoreUnavailable)
  await rowsOf.record(VIEWS, kept)
  assert.equal(asked.length, 4)
})

test('what tells readers apart may be learned after the store was opened', async () => {
  const { settings, rowsOf } = rows()
  settings.uniqueBy = 'network'
  await rowsOf.record(VIEWS, async derived => {
    const { visitor } = derived.rows[1]!
    const key = derived.keys.get('2026-03-11')!
    assert.equal(visitor, visitorOf(key, 'network', '2001:db8::1', null))
    return kept(derived)
  })
})

test('a rehearsal tries views under other ids and the keys of their days, its own view without asking', async () => {
  const { asked, rowsOf } = rows()
  const views = received([view(`${DAY}T12:00:00Z`), view(`${DAY}T12:00:00Z`, { eventId: null })])
  await rowsOf.rehearse(views, async ({ rows, keys }) => {
    assert.deepEqual([...keys], [[DAY, `${DAY} 1`]])
    assert.match(rows[0]!.eventId!, /^[0-9a-f-]{36}$/)
    assert.notEqual(rows[0]!.eventId, views[0]!.view.eventId)
    assert.equal(rows[1]!.eventId, null)
  })
  await rowsOf.rehearse([], async ({ rows, keys }) => {
    assert.equal(rows.length, 1)
    assert.deepEqual([...keys.keys()], [rows[0]!.day])
  })
  assert.deepEqual(asked, [DAY])
})

test('a rehearsal passes over a row that is rejected, and nothing else', async () => {
  const { rowsOf } = rows()
  await rowsOf.rehearse(VIEWS, () => Promise.reject(new RowRejected('a rule')))
  const away = new StoreUnavailable('away')
  await assert.rejects(
    rowsOf.rehearse(VIEWS, () => Promise.reject(away)),
    away,
  )
})
