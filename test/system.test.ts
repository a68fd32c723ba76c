import { SQLITE } from './support/engines.ts'
import { countsWhateverIsKilled } from './support/killed-meanwhile.ts'

countsWhateverIsKilled('SQLite', async t => ({ ...(await SQLITE.create(t)), killServer: async () => {} }))
