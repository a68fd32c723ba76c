import type { TestContext } from 'node:test'

type Step = () => unknown

const stepsOf = new WeakMap<TestContext, Step[]>()

/** Undoes something when the test ends. Steps run in reverse order, and each runs even if others fail. */
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

/** For steps at the end: whether the test passed. Node sets this, but its types lack it. */
export function hasPassed(t: TestContext): boolean {
  return 'passed' in t && t.passed === true
}
