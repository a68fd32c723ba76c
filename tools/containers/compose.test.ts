/** What `npm run test:containers` reads from a compose file. That test itself shows what podman does with it. */

import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Compose, seconds } from './compose.ts'

const DEPLOY = join(import.meta.dirname, '../../deploy')
const composeText = await readFile(join(DEPLOY, 'compose.yaml'), 'utf8')
const filledIn = (await readFile(join(DEPLOY, 'env.example'), 'utf8')).replaceAll(
  /^(\w+(?:PASSWORD|API_KEY))=$/gm,
  '$1=secret',
)

async function read(t: TestContext, compose: string, env: string): Promise<Compose> {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-compose-'))
  t.after(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, 'compose.yaml'), compose)
  await writeFile(join(folder, '.env'), env)
  return Compose.read(join(folder, 'compose.yaml'))
}

test('passes over nothing that a compose file says', async t => {
  await read(t, composeText, filledIn)
  const privileged = composeText.replace('  analytics:\n', '  analytics:\n    privileged: true\n')
  await assert.rejects(read(t, privileged, filledIn), /analytics: privileged is not known/)
})

test('starts nothing without what has to be set', async t => {
  const unset = filledIn.replace(/^ADMIN_PASSWORD=.*$/m, 'ADMIN_PASSWORD=')
  await assert.rejects(read(t, composeText, unset), /ADMIN_PASSWORD is not set: set it in deploy\/.env/)
})

test('takes only times that it understands', () => {
  assert.deepEqual(['10s', '2m'].map(seconds), [10, 120])
  assert.throws(() => seconds('1m30s'), /1m30s is not known/)
})
