/**
 * `node server.mjs CONFIG.xml`: becomes a ClickHouse server with that configuration, until SIGTERM. chDB is all of ClickHouse as a
 * library, so its `clickhouse local` can listen on ports as well.
 */

import { fileURLToPath } from 'node:url'
import { DataType, isNullPointer, load, open, restorePointer } from 'ffi-rs'

const [configFile] = process.argv.slice(2)
if (!configFile) throw new Error('usage: node server.mjs CONFIG.xml')

// HTTP comes last: once it answers, everything does. The last statement never ends, but checks for SIGTERM ten times a second.
const STATEMENTS = `
  SYSTEM START LISTEN TCP;
  SYSTEM START LISTEN HTTP;
  SELECT sleepEachRow(0.1) FROM system.numbers FORMAT Null SETTINGS max_block_size = 1
`
const args = ['clickhouse', `--config-file=${configFile}`, '--log-level=information', `--query=${STATEMENTS}`]

const library = new URL('libchdb.so', import.meta.resolve('@chdb/lib-linux-x64-gnu/package.json'))
open({ library: 'clickhouse', path: fileURLToPath(library) })
// Called on this thread's own stack: ClickHouse checks how much stack is left, and fails when a library like koffi calls it on
// another stack.
const result = load({
  library: 'clickhouse',
  funcName: 'query_stable_v2',
  paramsType: [DataType.I32, DataType.StringArray],
  paramsValue: [args.length, args],
  // As in local_result_v2 of chdb.h.
  retType: {
    buffer: DataType.External,
    length: DataType.U64,
    vector: DataType.External,
    elapsedSeconds: DataType.Double,
    rowsRead: DataType.U64,
    bytesRead: DataType.U64,
    error: DataType.External,
  },
})
if (!isNullPointer(result.error)) {
  console.error(restorePointer({ retType: [DataType.String], paramsValue: [result.error] })[0])
}
// The call returns only after an error.
process.exit(1)
