import { storeContract } from '../store-contract.ts'
import { clickhouseEngine } from '../support/clickhouse.ts'

// What shards may get wrong is in the short parts, in clickhouse.test.ts and in system.test.ts.
storeContract('ClickHouse, two shards', clickhouseEngine(2), { isTwin: true })
