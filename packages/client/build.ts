/** Makes the package as it is published, JavaScript and types: `node build.ts [FOLDER]`, `dist` unless told. */

import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const here = import.meta.dirname
const root = resolve(here, '../..')
const folder = resolve(process.argv[2] ?? join(here, 'dist'))

rmSync(folder, { recursive: true, force: true })
const compiler = join(root, 'node_modules/typescript/bin/tsc')
execFileSync(process.execPath, [compiler, '-p', join(here, 'tsconfig.build.json'), '--outDir', folder], {
  stdio: 'inherit',
})

const { name, version, description, license, type, engines, dependencies } = JSON.parse(
  readFileSync(join(here, 'package.json'), 'utf8'),
)
const published = {
  name,
  version,
  description,
  keywords: ['post views', 'analytics', 'rabbitmq', 'amqp', 'page views'],
  license,
  type,
  engines,
  exports: { '.': { types: './index.d.ts', default: './index.js' } },
  files: ['*.js', '*.d.ts'],
  sideEffects: false,
  dependencies,
}
writeFileSync(join(folder, 'package.json'), `${JSON.stringify(published, null, 2)}\n`)
copyFileSync(join(here, 'README.md'), join(folder, 'README.md'))
const licence = join(root, 'LICENSE')
if (existsSync(licence)) copyFileSync(licence, join(folder, 'LICENSE'))
