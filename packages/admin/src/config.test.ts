import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigError, readConfig } from './config.ts'

const NEEDED = { ADMIN_PASSWORD: 'correct horse battery', INTERNAL_API_KEY: 'a-key' }

test('needs a password and a key, and nothing else', () => {
  assert.deepEqual(readConfig(NEEDED), {
    adminPassword: 'correct horse battery',
    host: '127.0.0.1',
    port: 3200,
    analyticsUrl: 'http://127.0.0.1:3100',
    apiKey: 'a-key',
    postsUrl: null,
    sessionHours: 12,
    trustedProxies: [],
    hosts: [],
    root: '/',
    logLevel: 'info',
  })
})

test('takes the first of several keys', () => {
  assert.equal(readConfig({ ...NEEDED, INTERNAL_API_KEY: 'new, old' }).apiKey, 'new')
})

test('takes names as browsers write them, and nothing that is more than a name', () => {
  const hosts = (text: string) => readConfig({ ...NEEDED, PANEL_HOSTS: text }).hosts
  assert.deepEqual(hosts('Panel.Example, bücher.example., [::1],10.0.0.1'), [
    'panel.example',
    'xn--bcher-kva.example',
    '[::1]',
    '10.0.0.1',
  ])
  for (const wrong of ['panel.example:3200', 'https://panel.example', 'panel.example/x', 'a b', '*', '::1'])
    assert.throws(() => hosts(wrong), /PANEL_HOSTS: ".+" is not a list of host names/, wrong)
})

test('tells every problem at once, and repeats no secret', () => {
  const problems = (() => {
    try {
      readConfig({
        ADMIN_PASSWORD: ' ',
        INTERNAL_API_KEY: 'schlüssel',
        PORT: '3200x',
        ANALYTICS_URL: 'http://user:hunter2@127.0.0.1:3100',
        POSTS_URL: 'ftp://127.0.0.1/',
        SESSION_HOURS: '0',
        TRUSTED_PROXIES: '127.0.0.1, ::/129',
        PANEL_HOSTS: 'panel.example, user:hunter2@panel.example',
        PANEL_PATH: '/posts/',
        LOG_LEVEL: 'loud',
      })
    } catch (error) {
      if (error instanceof ConfigError) return error
      throw error
    }
    throw new Error('it was taken')
  })()
  assert.deepEqual(
    problems.problems.map(problem => problem.split(':')[0]),
    [
      'ADMIN_PASSWORD',
      'PORT',
      'ANALYTICS_URL',
      'INTERNAL_API_KEY',
      'POSTS_URL',
      'SESSION_HOURS',
      'TRUSTED_PROXIES',
      'PANEL_HOSTS',
      'PANEL_PATH',
      'LOG_LEVEL',
    ],
  )
  for (const secret of ['hunter2', 'schlüssel']) assert.ok(!problems.message.includes(secret))
  assert.match(problems.message, /^ {2}- PORT: "3200x" is not a whole number from 0 to 65535$/m)
  assert.match(problems.message, /^ {2}- ANALYTICS_URL: "http:\/\/…@127\.0\.0\.1:3100" must not contain/m)
  assert.match(problems.message, /^ {2}- ADMIN_PASSWORD: is not set/m)
})
