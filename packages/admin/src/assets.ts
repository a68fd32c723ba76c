/**
 * The files that the browser loads: our own modules without their types, and three libraries. There is no build:
 * all files are read and compressed once, when the panel starts, and their addresses hold a hash of the content.
 */

import { hash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire, stripTypeScriptTypes } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, gzipSync } from 'node:zlib'

const PACKAGE = join(import.meta.dirname, '..')
const OWN_FOLDERS = ['browser', 'src/pages']

/** What the modules import by name, and which of the package's files runs in browsers. */
const LIBRARIES = {
  preact: () => esm('preact'),
  'preact/hooks': () => esm('preact/hooks'),
  htm: () => esm('htm'),
  'htm/preact': () => esm('htm/preact'),
  '@postviews/client/src/figures.ts': () => stripTypeScriptTypes(esm('@postviews/client/src/figures.ts')),
  '@postviews/client/src/zone-time.ts': () => stripTypeScriptTypes(esm('@postviews/client/src/zone-time.ts')),
  // uPlot's only minified file is a script for pages; this makes a module of it.
  uplot: () => `${read(join(uplotFolder, 'uPlot.iife.min.js'))}\nexport default uPlot\n`,
}

const uplotFolder = dirname(createRequire(import.meta.url).resolve('uplot'))

function esm(name: string): string {
  return read(fileURLToPath(import.meta.resolve(name)))
}

const TYPES: Record<string, string> = {
  ts: 'text/javascript; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
}

export interface Asset {
  type: string
  plain: Buffer
  gzip: Buffer
  brotli: Buffer
}

export interface Assets {
  /** One for all files together: changes with their content. */
  version: string
  /** By the path below `/assets/VERSION/`. */
  files: Map<string, Asset>
  /** The content of `<script type="importmap">`. */
  importMap: string
  /** The address of a file. */
  address(path: string): string
}

/** @param root of the panel, which every address begins with */
export function loadAssets(root: string): Assets {
  const texts = new Map<string, string>()
  for (const [name, load] of Object.entries(LIBRARIES)) texts.set(`lib/${name}.js`, load())
  for (const folder of OWN_FOLDERS) {
    for (const file of readdirSync(join(PACKAGE, folder)).toSorted()) {
      const path = `${folder}/${file}`
      const text = () => read(join(PACKAGE, path))
      if (file.endsWith('.test.ts')) continue
      if (file.endsWith('.ts')) texts.set(path, stripTypeScriptTypes(text()))
      else if (file.endsWith('.css') || file.endsWith('.svg')) texts.set(path, text())
    }
  }
  // uPlot's styles are in a layer, so that the panel's own take precedence.
  const uplotStyles = `@layer uplot {${read(join(uplotFolder, 'uPlot.min.css'))}}`
  texts.set('browser/panel.css', `${uplotStyles}\n${texts.get('browser/panel.css')}`)

  const version = hash('sha256', JSON.stringify([...texts]), 'base64url').slice(0, 12)
  const address = (path: string) => `${root}assets/${version}/${path}`
  return {
    version,
    files: new Map([...texts].map(([path, text]) => [path, toAsset(path, text)])),
    importMap: JSON.stringify({
      imports: Object.fromEntries(
        Object.keys(LIBRARIES).map(name => [name, address(`lib/${name}.js`)] as const),
      ),
    }),
    address,
  }
}

function toAsset(path: string, text: string): Asset {
  const plain = Buffer.from(text)
  return {
    type: TYPES[path.slice(path.lastIndexOf('.') + 1)]!,
    plain,
    gzip: gzipSync(plain, { level: 9 }),
    brotli: brotliCompressSync(plain),
  }
}

function read(path: string): string {
  return readFileSync(path, 'utf8')
}
