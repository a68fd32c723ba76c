import { storeContract } from '../store-contract.ts'
import { replicatedEngine } from '../support/replicas.ts'

storeContract('ClickHouse, counted as with replicas', replicatedEngine(1), { isTwin: true })
