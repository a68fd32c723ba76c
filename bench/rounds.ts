/** Contenders take turns, A B C A B C, so that other load on the machine affects all of them alike. */

import type { Bench } from './bench.ts'
import { type Summary, summarize } from './measure.ts'

export interface Turn<Run> {
  name: string
  /** The name in tables. */
  title: string
  run(): Promise<Run>
}

/** The runs of each contender, by name, one per round. */
export async function takeTurns<Run>(
  bench: Bench,
  turns: readonly Turn<Run>[],
  describe: (run: Run) => string,
): Promise<Map<string, Run[]>> {
  const runs = new Map<string, Run[]>(turns.map(({ name }) => [name, []]))
  for (let round = 1; round <= bench.rounds; round++) {
    for (const { name, title, run } of turns) {
      const outcome = await run().catch((cause: unknown) => {
        throw new Error(`${title}: ${cause instanceof Error ? cause.message : cause}`, { cause })
      })
      runs.get(name)!.push(outcome)
      bench.say(`round ${round} of ${bench.rounds}  ${title}: ${describe(outcome)}`)
    }
  }
  return runs
}

/** Compares two contenders by the ratio within each round, so that a slow round does not affect only one of them. */
export function ratios(of: readonly number[], to: readonly number[]): Summary {
  return summarize(of.map((value, round) => value / to[round]!))
}
