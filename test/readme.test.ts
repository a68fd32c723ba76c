/** The samples of the README, run as they stand there: on the Nodes they are for, in PHP and in Python. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { findPython } from '../tools/stack/install.ts'
import { clientNodes } from '../tools/stack/nodes.ts'
import { clientCheckout } from './support/client-checkout.ts'
import { encodedUrl } from './support/encoded-url.ts'
import { SQLITE } from './support/engines.ts'
import { API_KEY, startService } from './support/service.ts'
import { until } from './support/until.ts'
import { FIREFOX } from './support/views.ts'

const run = promisify(execFile)
const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8')

/** The sample in that language that has this word in it. */
function sample(language: string, word: string): string {
  const samples = [...readme.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 'gs'))]
  const found = samples.map(([, code]) => code!).find(code => code.includes(word))
  assert.ok(found !== undefined, `the README has no ${language} with ${word}`)
  return found
}

/** Where Composer would have put the library. */
async function phpProject(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-php-'))
  t.after(() => rm(folder, { recursive: true }))
  await mkdir(join(folder, 'vendor'))
  await writeFile(join(folder, 'vendor', 'autoload.php'), "<?php require 'PhpAmqpLib/autoload.php';")
  return folder
}

test('the samples of the README are counted as people on Node 20, 22 and 24, from PHP and Python, and read back', async t => {
  const { url: amqpUrl } = await encodedUrl(t)
  const database = await SQLITE.create(t)
  const service = await startService(t, { amqpUrl, databaseUrl: database.url })
  await service.untilReady()
  const env = {
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    AMQP_URL: amqpUrl,
    ANALYTICS_URL: service.url,
    INTERNAL_API_KEY: API_KEY,
  }
  const clone = await clientCheckout()
  t.after(clone.remove)
  const php = await phpProject(t)
  const nodes = await clientNodes(line => t.diagnostic(line))

  await writeFile(join(clone.folder, 'view.mjs'), sample('js', 'createTracker'))
  for (const node of nodes) await run(node, ['view.mjs'], { env, cwd: clone.folder })
  await writeFile(join(php, 'view.php'), sample('php', 'basic_publish'))
  await run('php', ['view.php'], { env, cwd: php })
  // A browser's name that is not UTF-8: the web server hands it on as it came.
  const hostile = `HTTP_USER_AGENT="$(printf '${FIREFOX} \\377\\300')" exec php view.php`
  await run('/bin/sh', ['-c', hostile], { env, cwd: php })
  await writeFile(join(php, 'view.py'), sample('python', 'basic_publish'))
  await run(findPython()!, ['view.py'], { env, cwd: php })

  const views = nodes.length + 3
  await until('all are counted', async () => {
    const [stored] = await database.query('SELECT COUNT(*) AS views FROM post_views')
    return stored!['views'] === views
  })
  const rows = await database.query(
    `SELECT ip, user_agent, user_id, COUNT(*) AS views FROM post_views
     WHERE event_id IS NOT NULL GROUP BY ip, user_agent, user_id ORDER BY ip, user_agent`,
  )
  assert.deepEqual(
    rows.map(row => Object.values(row)),
    [
      ['203.0.113.7', FIREFOX, null, nodes.length],
      ['203.0.113.8', FIREFOX, '7', 1],
      ['203.0.113.8', `${FIREFOX} \ufffd\ufffd`, '7', 1],
      ['203.0.113.9', FIREFOX, null, 1],
    ],
  )

  const { stdout: answer } = await run('/bin/sh', ['-c', sample('sh', 'curl')], { env })
  assert.deepEqual([JSON.parse(answer).views, JSON.parse(answer).bots], [views, 0])
  await writeFile(join(clone.folder, 'read.mjs'), sample('js', 'createStats'))
  for (const node of nodes) {
    const { stdout: printed } = await run(node, ['read.mjs'], { env, cwd: clone.folder })
    assert.equal(printed, `{ views: ${views}, unique_views: 3, bots: 0 }\n`)
  }
})
