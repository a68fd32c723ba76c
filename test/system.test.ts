import { MYSQL, ownMysql, SQLITE } from './support/engines.ts'
import { countsWhateverIsKilled } from './support/killed-meanwhile.ts'

countsWhateverIsKilled('SQLite', async t => ({ ...(await SQLITE.create(t)), killServer: async () => {} }))

countsWhateverIsKilled(MYSQL.name, async t => {
  const { server, database } = await ownMysql(t)
  return { ...database, killServer: () => server.restart() }
})
