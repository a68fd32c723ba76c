import { MYSQL, ownMysql } from '../support/engines.ts'
import { countsWhateverIsKilled } from '../support/killed-meanwhile.ts'

countsWhateverIsKilled(MYSQL.name, async t => {
  const { server, database } = await ownMysql(t)
  return { ...database, killServer: () => server.restart() }
})
