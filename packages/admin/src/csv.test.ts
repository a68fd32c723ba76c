import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  chosenCsv,
  daysCsv,
  hoursCsv,
  otherPostsCsv,
  postsCsv as postsCsvOf,
  postsHead,
  valuesCsv,
  valuesHead,
} from './csv.ts'

const DAY = { date: '2026-11-21', views: 12_345, unique_views: null, logged_in: 3, anonymous: 9, bots: 0 }
const ROW = { id: 'a', views: 2, unique_views: 1, change: 1 }
const TODAY = '2026-11-22'

function value(name: string) {
  return { kind: 'value' as const, value: name, views: 1 }
}

function postsCsv(posts: Parameters<typeof postsCsvOf>[0]): string {
  return postsCsvOf(posts, false)
}

function post(title: string, author: string | null = null) {
  return { ...ROW, name: { title, author, url: null, publishedAt: null } }
}

test('writes days with plain numbers, and nothing where a number is unknown', () => {
  assert.equal(
    daysCsv({ days: [DAY], daysBefore: null, today: TODAY }),
    'date,views,unique_views,logged_in,anonymous,bots,is_whole_day\r\n2026-11-21,12345,,3,9,0,yes\r\n',
  )
})

test('marks the day that is not over, for a file outlives it', () => {
  const [, yesterday, today] = daysCsv({
    days: [DAY, { ...DAY, date: TODAY }],
    daysBefore: null,
    today: TODAY,
  }).split('\r\n')
  assert.match(yesterday!, /^2026-11-21,.*,yes$/)
  assert.match(today!, /^2026-11-22,.*,no$/)
})

test('writes the day compared with beside each day', () => {
  const before = { ...DAY, date: '2026-11-20', views: 1, unique_views: 1 }
  const [head, row] = daysCsv({ days: [DAY], daysBefore: [before], today: TODAY }).split('\r\n')
  assert.equal(head!.split(',')[7], 'date_before')
  assert.equal(row, '2026-11-21,12345,,3,9,0,yes,2026-11-20,1,1,3,9,0,yes')
})

test('keeps a spreadsheet from running a cell as a formula', () => {
  const titles = [
    '=1+1',
    '+1',
    '-1',
    '@SUM(A1)',
    '\t1',
    '\r1',
    '\t=1',
    ' =1',
    '\r=1',
    '\n=1',
    '"=1"',
    '＝1+1',
    '＠A1',
  ]
  for (const title of titles) {
    const cell = postsCsv([post(title)]).slice('a,'.length)
    assert.match(cell, /^"?'/, JSON.stringify(title))
  }
  assert.match(valuesCsv([value('=cmd|calc')]), /^'=cmd\|calc,1\r\n$/)
  assert.match(postsCsv([post('fine', '=HYPERLINK("x")')]), /,fine,"'=HYPERLINK\(""x""\)",2,1\r\n$/)
})

test('keeps a spreadsheet whose list separator is a semicolon from it too', () => {
  for (const separator of [';', '; ', ';"', '\t', '|', '\n', '\r\n', ';;']) {
    for (const formula of ['=1+1', '+1', '-1', '@A1', '＝1']) {
      const csv =
        postsCsv([post(`x${separator}${formula};y`)]) + valuesCsv([value(`x${separator}${formula}`)])
      // A spreadsheet ignores quotes that do not begin a cell.
      const cells = csv.split(/[;|\t\r\n]/).map(cell => cell.replace(/^["\s]+/, ''))
      assert.deepEqual(
        cells.filter(cell => /^[=+\-@＝＋－＠]/.test(cell)),
        [],
        JSON.stringify([separator, formula]),
      )
    }
  }
  assert.match(valuesCsv([value('x;=1+1;y')]), /^x;'=1\+1;y,1\r\n$/)
})

test('leaves alone what only holds such a character', () => {
  assert.match(postsCsv([post('1 + 1 = 2')]), /,1 \+ 1 = 2,/)
  assert.match(postsCsv([post('Salt; a - b; c@d')]), /,Salt; a - b; c@d,/)
})

test("names what is no value: the site's own pages, others, not recorded; and no value by nothing", () => {
  const rows = [
    { kind: 'value', value: 'news.example', views: 3 },
    { kind: 'none', value: null, views: 2 },
    { kind: 'other', value: null, views: 9 },
    { kind: 'internal', value: null, views: 7 },
    { kind: 'unknown', value: null, views: null },
  ] as const
  assert.equal(
    valuesHead('referrer') + valuesCsv(rows),
    "referrer,views\r\nnews.example,3\r\n,2\r\nothers,9\r\nthis site's own pages,7\r\nnot recorded,\r\n",
  )
})

test('writes hours in UTC and in the time of the site, and the days of one value', () => {
  const zone = { timezone: 'Europe/Warsaw', offsets: [{ from: '1970-01-01T00:00:00Z', seconds: 3_600 }] }
  const hours = [{ start: '2026-11-21T22:00:00Z', views: 4 }]
  const hoursBefore = [{ start: '2026-11-20T22:00:00Z', views: null }]
  assert.equal(
    hoursCsv({ hours, hoursBefore: null }, zone),
    'start,local_time,views\r\n2026-11-21T22:00:00Z,23:00 Europe/Warsaw,4\r\n',
  )
  assert.equal(
    hoursCsv({ hours, hoursBefore }, zone).split('\r\n')[1],
    '2026-11-21T22:00:00Z,23:00 Europe/Warsaw,4,2026-11-20T22:00:00Z,23:00 Europe/Warsaw,',
  )
  const days = [
    { date: '2026-11-20', views: null },
    { date: '2026-11-21', views: 2 },
  ]
  assert.equal(
    chosenCsv({ dimension: 'source', value: 'Google', days }),
    'date,views\r\n2026-11-20,\r\n2026-11-21,2\r\n',
  )
})

test('quotes what holds a comma, a quote or a line break', () => {
  assert.match(postsCsv([post('Bread, "again"')]), /^a,"Bread, ""again""",,2,1\r\n$/)
  assert.match(postsCsv([post('two\nlines')]), /,"two\nlines",/)
})

test('writes a post by its id alone where nobody tells its title', () => {
  assert.equal(
    postsHead(false) + postsCsv([{ ...ROW, name: null }]),
    'id,title,author,views,unique_views\r\na,,,2,1\r\n',
  )
  assert.equal(
    postsHead(true) + postsCsvOf([{ ...ROW, name: null }], true),
    'id,title,author,views,unique_views,change\r\na,,,2,1,1\r\n',
  )
})

test('says in one line, without an id, what a list of posts leaves out', () => {
  assert.equal(otherPostsCsv({ posts: 9, views: 70, unique_views: null }), ',9 other posts,,70,\r\n')
  assert.equal(otherPostsCsv({ posts: 1, views: 7, unique_views: 6 }), ',1 other post,,7,6\r\n')
  assert.equal(
    otherPostsCsv({ posts: 0, views: 2, unique_views: 2 }),
    ',views while this file was made,,2,2\r\n',
  )
})
