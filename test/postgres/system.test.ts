import { countsWhateverIsKilled } from '../support/killed-meanwhile.ts'
import { ownPostgres } from '../support/postgres.ts'

countsWhateverIsKilled('PostgreSQL', async t => {
  const { server, database } = await ownPostgres(t)
  return { ...database, killServer: () => server.restart() }
})
