/** The package as a Composer package: its own tests, its description, its style. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { glob } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { inLaravelRoot } from '../support/laravel-app.ts'

const run = promisify(execFile)
const ROOT = join(import.meta.dirname, '../..')
const PACKAGE = join(ROOT, 'packages/laravel')

test('its own tests pass, on a real Laravel', async t => {
  // From here, as its models are tried on the tables that the service itself makes.
  const { code, stdout, stderr } = await inLaravelRoot(ROOT, [
    'phpunit',
    '--configuration',
    'packages/laravel',
  ])
  assert.equal(code, 0, stdout + stderr)
  const [, count] = /OK \((\d+) tests?/.exec(stdout) ?? []
  assert.ok(Number(count) > 0, stdout)
  t.diagnostic(`${count} tests of PHPUnit`)
})

test('Composer takes its description', async () => {
  const { code, stdout, stderr } = await inLaravelRoot(PACKAGE, ['composer', 'validate', '--strict'])
  assert.equal(code, 0, stdout + stderr)
})

// Its own rules are these, with the snake_case that the names of tests have in Laravel.
for (const [rules, paths] of [
  ['PSR12', ['src', 'config']],
  ['phpcs.xml.dist', ['src', 'config', 'tests']],
] as const) {
  test(`${paths.join(', ')}: written in ${rules}`, async () => {
    await run('phpcs', [`--standard=${rules}`, '-n', '--extensions=php', ...paths], { cwd: PACKAGE }).catch(
      (error: { stdout: string }) => assert.fail(error.stdout),
    )
  })
}

test('this machine’s PHP, which is 8.2 on Debian 12, reads every file of it', async t => {
  const { stdout: version } = await run('php', ['-r', 'echo PHP_VERSION;'])
  t.diagnostic(`PHP ${version}`)
  const files: string[] = []
  for await (const file of glob('{src,config,tests}/**/*.php', { cwd: PACKAGE })) files.push(file)
  assert.ok(files.length > 20)
  for (const file of files) await run('php', ['-l', file], { cwd: PACKAGE })
})
