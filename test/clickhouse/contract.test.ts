import { storeContract } from '../store-contract.ts'
import { clickhouseEngine } from '../support/clickhouse.ts'

storeContract('ClickHouse', clickhouseEngine(1))
