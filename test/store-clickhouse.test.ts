import { storeContract } from './store-contract.ts'
import { clickhouseEngine } from './support/clickhouse.ts'

// Two shards are the harder case, and take the long parts.
storeContract('ClickHouse', clickhouseEngine(1), { isTwin: true })
