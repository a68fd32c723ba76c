/** Splits long computations into steps, so that other requests are answered between two of them. */

/** Resolves when others have had their turn. */
export type LoopTurn = () => Promise<void>

/** Numbers that one step adds up or moves: some milliseconds of work. */
const STEP = 100_000

export async function inSteps(
  count: number,
  turn: LoopTurn,
  step: (from: number, to: number) => void,
): Promise<void> {
  for (let from = 0; from < count; from += STEP) {
    step(from, Math.min(count, from + STEP))
    await turn()
  }
}
