/** Corrects counters in several short transactions, by one process at a time. */

import type { SqlClient, SqlEngine, State } from './sql.ts'

/** Another process corrected something meanwhile: the differences must be looked for again. */
export class PutRightMeanwhile extends Error {}

/** Tells caches that what they read was changed, and processes that are about to correct something that what they found is void. */
export async function raiseRebuilds(client: SqlClient): Promise<void> {
  await client.run('UPDATE post_view_rebuilds SET rebuilds = rebuilds + 1 WHERE id = 1')
}

export async function countOfRebuilds(client: SqlClient): Promise<number> {
  const [row] = await client.all('SELECT rebuilds FROM post_view_rebuilds WHERE id = 1')
  return Number(row!['rebuilds'])
}

/** Short transactions that change counters, as long as nobody else corrects counters between them. */
export class Turn {
  readonly #engine: SqlEngine
  #rebuilds: number

  constructor(engine: SqlEngine, rebuilds: number) {
    this.#engine = engine
    this.#rebuilds = rebuilds
  }

  /** @throws {PutRightMeanwhile} and nothing was changed */
  async change<T>(work: (client: SqlClient, state: State) => Promise<T>): Promise<T> {
    const result = await this.#engine.exclusive(async (client, state) => {
      if ((await countOfRebuilds(client)) !== this.#rebuilds) throw new PutRightMeanwhile()
      await raiseRebuilds(client)
      return work(client, state)
    })
    this.#rebuilds++
    return result
  }
}
