import { storeContract } from './store-contract.ts'
import { clickhouseEngine } from './support/clickhouse.ts'

storeContract('ClickHouse, two shards', clickhouseEngine(2))
