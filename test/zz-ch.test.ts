import { describe } from 'node:test'
import { countingContract } from './store-contract-counting.ts'
import { promisesOf } from './store-contract-database.ts'
import { daysContract } from './store-contract-days.ts'
import { endingContract } from './store-contract-ending.ts'
import { hostsContract } from './store-contract-hosts.ts'
import { randomContract } from './store-contract-random.ts'
import { readsContract } from './store-contract-reads.ts'
import { retentionContract } from './store-contract-retention.ts'
import { zoneRulesContract } from './store-contract-rules.ts'
import { settingsContract } from './store-contract-settings.ts'
import { settledContract } from './store-contract-settled.ts'
import { topContract } from './store-contract-top.ts'
import { verifyContract } from './store-contract-verify.ts'
import { clickhouseEngine } from './support/clickhouse.ts'

const engine = clickhouseEngine(Number(process.env['SHARDS'] ?? 1))
const promises = promisesOf(engine)
const all: Record<string, () => void> = {
  counting: () => countingContract(promises, engine),
  reads: () => readsContract(promises),
  top: () => topContract(promises),
  retention: () => retentionContract(promises, engine),
  days: () => daysContract(promises, engine),
  random: () => randomContract(promises),
  verify: () => verifyContract(promises, engine),
  ending: () => endingContract(promises),
  hosts: () => hostsContract(promises, engine),
  settled: () => settledContract(promises, engine),
  settings: () => settingsContract(promises),
  rules: () => zoneRulesContract(promises),
}
for (const part of (process.env['PART'] ?? Object.keys(all).join(',')).split(',')) describe(part, all[part]!)
