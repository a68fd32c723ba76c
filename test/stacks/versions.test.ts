/** docs/compatibility.md names the versions that a stack has, or this is red. */

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { testMysql, testRabbitmq } from '../../tools/stack/for-tests.ts'
import { chosenStack, rootOf } from '../../tools/stack/stacks.ts'
import { mysqlDatabase } from '../support/engines.ts'
import { assertNamed } from '../support/named-versions.ts'

const stack = chosenStack()
assert.ok(stack, 'run it with --stack=NAME')

test(`the servers of ${stack.name} are those that the documents name`, async () => {
  const { api } = await testRabbitmq()
  const overview = (await api('GET', '/overview')) as { rabbitmq_version: string }
  assertNamed('RabbitMQ', overview.rabbitmq_version)
  const { url, isMysql } = await testMysql()
  const [answer] = await mysqlDatabase(url).query('SELECT VERSION() AS version')
  assertNamed(isMysql ? 'MySQL' : 'MariaDB', String(answer!['version']))
})

if (rootOf(stack) === null) {
  test('so are the clients, which all stacks are tried with', () => {
    const versionOf = (name: string) =>
      execFileSync('dpkg-query', ['-W', name], { encoding: 'utf8' }).split('	')[1]!
    assertNamed('PHP', execFileSync('php', ['-r', 'echo PHP_VERSION;'], { encoding: 'utf8' }))
    assertNamed('php-amqplib', versionOf('php-amqplib'))
    assertNamed('pika', versionOf('python3-pika'))
  })
}
