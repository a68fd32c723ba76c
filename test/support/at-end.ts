import type { TestContext } from 'node:test'

type Step = () => unknown

const stepsOf = new WeakMap<TestContext, Step[]>()

/** Undoes something when the test ends: the last first, and each whatever became of the others. */
export function atEnd(t: TestContext, step: Step): void {
  const steps = stepsOf.get(t)
  if (steps !== undefined) {
    steps.push(step)
    return
  }
  const fresh = [step]
  stepsOf.set(t, fresh)
  t.after(async () => {
    const errors: unknown[] = []
    for (const undo of fresh.reverse()) {
      try {
        await undo()
      } catch (error) {
        errors.push(error)
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, `not undone: ${errors.join('; ')}`)
  })
}

/** For what is done at the end: whether the test went well. Node tells, its types do not. */
export function hasPassed(t: TestContext): boolean {
  return 'passed' in t && t.passed === true
}
