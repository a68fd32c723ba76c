import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { storeContract } from './store-contract.ts'

storeContract('SQLite', {
  async create() {
    const folder = await mkdtemp(join(tmpdir(), 'postviews-sqlite-'))
    return { url: `sqlite:${join(folder, 'views.db')}`, remove: () => rm(folder, { recursive: true }) }
  },
  async sql(url, statement) {
    using database = new DatabaseSync(url.slice('sqlite:'.length), { timeout: 5_000 })
    return database.prepare(statement).all()
  },
  unkeepable: { viewedAt: 2 ** 63 },
})
