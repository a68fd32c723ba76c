/** A batch that is tried and then undone, to see whether the store could keep it. */

import type { Recorded } from '../store.ts'

const UNDONE = new Error('everything worked, and is rolled back')

/**
 * Does the work in a transaction, and rolls it back.
 *
 * @param transaction rolls back, and passes on the error, when the work throws
 */
export async function rehearse<Client>(
  transaction: (work: (client: Client) => Promise<Recorded>) => Promise<Recorded>,
  work: (client: Client) => Promise<unknown>,
): Promise<Recorded> {
  try {
    return await transaction(async client => {
      await work(client)
      throw UNDONE
    })
  } catch (error) {
    if (error !== UNDONE) throw error
    return { counted: 0, duplicates: 0 }
  }
}
