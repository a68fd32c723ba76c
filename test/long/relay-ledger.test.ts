/** The ledger of the relay: 200,000 views, and ten times each SIGKILL to the relay, the broker and the service. */

import { test } from 'node:test'
import { countsExactlyWhateverIsKilled } from '../support/relay-killed-with-all.ts'

test('counts 200,000 views through the relay exactly once, with ten kills of relay, broker and service each', t =>
  countsExactlyWhateverIsKilled(t, { views: 200_000, kills: 10, drainDeadlineMs: 400_000 }))
