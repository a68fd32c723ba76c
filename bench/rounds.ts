/** Contenders take turns, A B C A B C: what the machine does besides befalls all of them alike. */

import type { Bench } from './bench.ts'
import { type Summary, summarize } from './measure.ts'

export interface Turn<Run> {
  name: string
  /** As tables call it. */
  title: string
  run(): Promise<Run>
}

/** The runs of each, by name, one for each round. */
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

/** How one compares with another: of each round's two figures, so that a slow round does not count for one alone. */
export function ratios(of: readonly number[], to: readonly number[]): Summary {
  return summarize(of.map((value, round) => value / to[round]!))
}
