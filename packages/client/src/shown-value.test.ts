import assert from 'node:assert/strict'
import { test } from 'node:test'
import { shownValue } from './shown-value.ts'

test('shows what was set, in quotes and on one line', () => {
  assert.equal(shownValue('70000'), '"70000"')
  assert.equal(shownValue('a\nmonth\u001b[2J'), String.raw`"a\nmonth\u001b[2J"`)
  assert.equal(shownValue('::1'), '"::1"')
  assert.equal(shownValue('sqlite://data/x.db'), '"sqlite://data/x.db"')
  assert.equal(shownValue('mysql://db.example:99999/views'), '"mysql://db.example:99999/views"')
  assert.equal(shownValue('amqp://one:5672/v, amqps://two:5671'), '"amqp://one:5672/v, amqps://two:5671"')
  assert.equal([...shownValue('x'.repeat(500))].length, 103)
})

test('shows no user, no password and no value of a query, wherever a password ends', () => {
  for (const [text, shown] of [
    ['http://guest:hunter2@broker.example:5672', 'http://…@broker.example:5672'],
    ['guest:hunter2@broker.example', '…@broker.example'],
    ['mysql://root:hun/ter2@db.example/views', 'mysql://…@db.example/views'],
    ['mysql://root:hun?ter2@db.example/views', 'mysql://…@db.example/views'],
    ['mysql://root:hun#ter2@db.example/views', 'mysql://…@db.example/views'],
    ['mysql://root:hunter@2@db.example/views', 'mysql://…@db.example/views'],
    ['mysql://root:hunter2/views', 'mysql://root:…/views'],
    ['mysql:root:hunter2', 'mysql:…'],
    ['amqp:hunter2', 'amqp:…'],
    ['mysql://db.example/views?password=hunter2&ssl=hunter2', 'mysql://db.example/views?password=…&ssl=…'],
    ['sqlite:views.db?key=hunter2', 'sqlite:views.db?key=…'],
    ['host=db.example password=hun ter2', 'host=db.example password=…'],
    ['Server=db.example;User_Password = hunter2;', 'Server=db.example;User_Password =…'],
    ['jdbc:mysql://db.example;pwd=hunter2', 'jdbc:mysql://db.example;pwd=…'],
    ['blog.example,https://root:hunter2@blog.example/', '…@blog.example/'],
    ['amqp://a:hunter2@one,amqp://b:hunter2@two', 'amqp://…@two'],
    ['amqp://one:5672/v,amqp://b:hunter2,hunter2@two', 'amqp://…@two'],
    ['amqp://one:5672,amqp://b:hunter2/v', 'amqp://one:5672,amqp://b:…/v'],
    ['amqp://one:5672 , amqp://b:hunter2,hunter2', 'amqp://one:5672 , amqp://b:…'],
    ['amqp://one:5672,amqp:b:hunter2', 'amqp://one:5672,amqp:…'],
    ['amqp://one?heartbeat=hunter2,amqp://two?x=hunter2', 'amqp://one?heartbeat=…'],
  ] as const) {
    assert.equal(shownValue(text), JSON.stringify(shown))
  }
})
