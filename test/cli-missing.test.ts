/** No command but `serve` and `migrate` makes a database: one that is not there is an error that names it. */

import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { describe, test } from 'node:test'
import { commandLine, type Outcome } from './support/command.ts'
import { MYSQL } from './support/engines.ts'

const SETTINGS = { AMQP_URL: 'amqp://127.0.0.1:1', INTERNAL_API_KEY: 'a-key-for-the-tests', PORT: '0' }

/** What a command says of why it ends: on stderr, or as the last words of a service. */
function why({ stdout, stderr }: Outcome): string {
  const failed = stdout.split('\n').find(line => line.includes('"event":"service.failed"'))
  return failed === undefined ? stderr.replace(/^postviews: |\n$/g, '') : JSON.parse(failed).error
}

describe('a database that is not there is named, and not made:', { concurrency: true }, () => {
  test('a file', async t => {
    const { run, folder } = await commandLine(t, { ...SETTINGS, DATABASE_URL: 'sqlite:data/views.db' })
    for (const command of ['forget --user 7', 'rebuild', 'api']) {
      const outcome = await run(command)
      assert.equal(outcome.code, 1, command)
      assert.equal(why(outcome), `there is no database at ${folder}/data/views.db: run \`postviews migrate\``)
    }
    assert.deepEqual(await readdir(folder), [])
  })

  test('of a server', async t => {
    const { url, query } = await MYSQL.create(t)
    const missing = new URL(url)
    missing.pathname += '_none'
    const { run } = await commandLine(t, { ...SETTINGS, DATABASE_URL: missing.href })
    for (const command of ['verify', 'consume', 'migrate']) {
      const outcome = await run(command)
      assert.equal(outcome.code, 1, command)
      assert.equal(
        why(outcome),
        `MySQL at ${missing.host}: there is no database ${missing.pathname.slice(1)} (1049): create it, then run \`postviews migrate\`, at signing in`,
      )
    }
    const name = missing.pathname.slice(1)
    assert.deepEqual(await query(`SHOW DATABASES LIKE '${name}'`), [])
  })

  test('or is there without tables', async t => {
    const { url, query } = await MYSQL.create(t)
    const { host, pathname } = new URL(url)
    const { run } = await commandLine(t, { ...SETTINGS, DATABASE_URL: url })
    for (const command of ['forget --user 7', 'rebuild', 'api']) {
      const outcome = await run(command)
      assert.equal(outcome.code, 1, command)
      const said = `the database ${pathname.slice(1)} on ${host} has no tables of postviews: run \`postviews migrate\``
      assert.equal(why(outcome), said)
    }
    assert.deepEqual(await query('SHOW TABLES'), [])
  })
})
