import assert from 'node:assert/strict'
import { test } from 'node:test'
import { daysCsv, postsCsv, referrersCsv } from './csv.ts'

const DAY = { date: '2026-11-21', views: 12_345, unique_views: null, logged_in: 3, anonymous: 9, bots: 0 }
const ROW = { id: 'a', views: 2, unique_views: 1, spark: null }

function post(title: string, author: string | null = null) {
  return { ...ROW, name: { title, author, url: null } }
}

test('writes days with plain numbers, and nothing where a number is unknown', () => {
  assert.equal(
    daysCsv({ days: [DAY], daysBefore: null }),
    'date,views,unique_views,logged_in,anonymous,bots\r\n2026-11-21,12345,,3,9,0\r\n',
  )
})

test('writes the day compared with beside each day', () => {
  const before = { ...DAY, date: '2026-11-20', views: 1, unique_views: 1 }
  const [head, row] = daysCsv({ days: [DAY], daysBefore: [before] }).split('\r\n')
  assert.equal(head!.split(',')[6], 'date_before')
  assert.equal(row, '2026-11-21,12345,,3,9,0,2026-11-20,1,1,3,9,0')
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
    const cell = postsCsv([post(title)]).split('\r\na,')[1]!
    assert.match(cell, /^"?'/, JSON.stringify(title))
  }
  assert.match(referrersCsv([{ host: '=cmd|calc', views: 1 }]), /\r\n'=cmd\|calc,1\r\n$/)
  assert.match(postsCsv([post('fine', '=HYPERLINK("x")')]), /,fine,"'=HYPERLINK\(""x""\)",2,1\r\n$/)
})

test('keeps a spreadsheet whose list separator is a semicolon from it too', () => {
  for (const separator of [';', '; ', ';"', '\t', '|', '\n', '\r\n', ';;']) {
    for (const formula of ['=1+1', '+1', '-1', '@A1', '＝1']) {
      const csv =
        postsCsv([post(`x${separator}${formula};y`)]) +
        referrersCsv([{ host: `x${separator}${formula}`, views: 1 }])
      // Quotes mean nothing to it where they do not begin a cell.
      const cells = csv.split(/[;|\t\r\n]/).map(cell => cell.replace(/^["\s]+/, ''))
      assert.deepEqual(
        cells.filter(cell => /^[=+\-@＝＋－＠]/.test(cell)),
        [],
        JSON.stringify([separator, formula]),
      )
    }
  }
  assert.match(referrersCsv([{ host: 'x;=1+1;y', views: 1 }]), /\r\nx;'=1\+1;y,1\r\n$/)
})

test('leaves alone what only holds such a character', () => {
  assert.match(postsCsv([post('1 + 1 = 2')]), /,1 \+ 1 = 2,/)
  assert.match(postsCsv([post('Salt; a - b; c@d')]), /,Salt; a - b; c@d,/)
})

test("tells the views of the site's own pages by that name, and of nowhere by none", () => {
  const referrers = [
    { host: 'news.example', views: 3 },
    { host: null, views: 2 },
    { host: null, views: 7, internal: true as const },
  ]
  assert.equal(referrersCsv(referrers), "host,views\r\nnews.example,3\r\n,2\r\nthis site's own pages,7\r\n")
})

test('quotes what holds a comma, a quote or a line break', () => {
  assert.match(postsCsv([post('Bread, "again"')]), /\r\na,"Bread, ""again""",,2,1\r\n$/)
  assert.match(postsCsv([post('two\nlines')]), /,"two\nlines",/)
})

test('writes a post by its id alone where nobody tells its title', () => {
  assert.equal(postsCsv([{ ...ROW, name: null }]), 'id,title,author,views,unique_views\r\na,,,2,1\r\n')
})
