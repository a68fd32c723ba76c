import { storeContract } from '../store-contract.ts'
import { replicatedEngine } from '../support/replicas.ts'

// The long parts have been run by hand: docs/compatibility.md.
storeContract('ClickHouse, counted as with replicas', replicatedEngine(1), { isTwin: true })
