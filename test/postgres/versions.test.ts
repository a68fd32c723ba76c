import { test } from 'node:test'
import { testPostgres } from '../../tools/stack/for-tests.ts'
import { queryPostgres } from '../../tools/stack/postgres.ts'
import { chosenStack } from '../../tools/stack/stacks.ts'
import { assertNamed } from '../support/named-versions.ts'

// Without a stack it is this machine's own server, which no document names.
if (chosenStack() !== null) {
  test('the server of the stack is the one that the documents name', async () => {
    const { url } = await testPostgres()
    const [answer] = await queryPostgres(url, 'SHOW server_version')
    assertNamed('PostgreSQL', String(answer!['server_version']), 1)
  })
}
