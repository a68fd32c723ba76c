import assert from 'node:assert/strict'
import { test } from 'node:test'
import { brokerUrl, credentialsOf } from './link.ts'

test('a URL without a heartbeat is given one, and is otherwise as it was', () => {
  assert.equal(brokerUrl('amqp://broker', 10), 'amqp://broker?heartbeat=10')
  const url = 'amqps://user:p%40ss@broker:5671/a%2Fb?frameMax=8192'
  assert.equal(brokerUrl(url, 10), `${url}&heartbeat=10`)
})

test('a heartbeat in the URL wins', () => {
  assert.equal(brokerUrl('amqp://broker/v?heartbeat=60', 10), 'amqp://broker/v?heartbeat=60')
})

test('user and password are decoded as UTF-8', () => {
  const said = (url: string) => credentialsOf(url)?.response().toString()
  assert.equal(said('amqp://jos%C3%A9%40blog:p%C3%BC%2F%3A%25@broker/v'), '\0josé@blog\0pü/:%')
  assert.equal(said('amqp://reader:@broker'), '\0reader\0')
  assert.equal(said('amqp://broker'), undefined)
  assert.equal(said('amqp://reader:p%FC@broker'), undefined)
})
