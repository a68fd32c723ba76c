/**
 * What every engine must keep of the promises in `store.ts`. An engine passes it unchanged: its own test file says
 * only how to make a database, and how to reach into it.
 */

import { describe } from 'node:test'
import { countingContract } from './store-contract-counting.ts'
import { type ContractEngine, promisesOf } from './store-contract-database.ts'
import { daysContract } from './store-contract-days.ts'
import { deriveContract } from './store-contract-derive.ts'
import { endingContract } from './store-contract-ending.ts'
import { hostsContract } from './store-contract-hosts.ts'
import { randomContract } from './store-contract-random.ts'
import { readsContract } from './store-contract-reads.ts'
import { retentionContract } from './store-contract-retention.ts'
import { zoneRulesContract } from './store-contract-rules.ts'
import { settingsContract } from './store-contract-settings.ts'
import { settledContract } from './store-contract-settled.ts'
import { topContract } from './store-contract-top.ts'
import { trendingContract } from './store-contract-trending.ts'
import { verifyContract } from './store-contract-verify.ts'
import { whoContract } from './store-contract-who.ts'

/** @param options `isTwin`: another engine that differs only in where its data lie takes the long parts, unless `FULL=1` */
export function storeContract(name: string, engine: ContractEngine, { isTwin = false } = {}): void {
  const promises = promisesOf(engine)
  describe(`a store on ${name}`, () => {
    describe('counting', () => countingContract(promises, engine))
    describe('reads', () => readsContract(promises))
    describe('top posts', () => topContract(promises))
    describe('trending', () => trendingContract(promises))
    describe('days', () => daysContract(promises, engine))
    describe('against chance', () => randomContract(promises))
    if (isTwin && process.env['FULL'] !== '1') return
    describe('who', () => whoContract(promises, engine))
    describe('retention', () => retentionContract(promises, engine))
    describe('verify and rebuild', () => verifyContract(promises, engine))
    describe('ending', () => endingContract(promises))
    describe('deriving again', () => deriveContract(promises, engine))
    describe('hosts', () => hostsContract(promises, engine))
    describe('settled days', () => settledContract(promises, engine))
    describe('version and settings', () => settingsContract(promises))
    describe('zone rules', () => zoneRulesContract(promises))
  })
}
