/** Corrects the counters to match a recount, while consumers run: raw rows first, then each day, then the totals. */

import type { Countries } from '../../derive/countries.ts'
import { Who } from '../../derive/who.ts'
import { isAsked, refuseNoDays } from '../asked-days.ts'
import { type Day, latest } from '../days.ts'
import { differences } from '../differences.ts'
import { AGREEMENT_REPLACED, StoreRefused } from '../failures.ts'
import type { Progress, RebuildOptions, Rebuilt } from '../store.ts'
import { type Derivation, textsToDerive } from '../who-again.ts'
import { adoptSettings } from './adopt-settings.ts'
import { checkAgreement } from './agreement.ts'
import { rebuildBreakdowns } from './breakdown-rebuild.ts'
import { DayRecount } from './day-recount.ts'
import { ownHosts } from './own-hosts.ts'
import { type DayRebuild, rebuildDay } from './rebuild-days.ts'
import { rebuildRows } from './rebuild-rows.ts'
import { rebuildWho } from './rebuild-who.ts'
import { allDays, hasRows } from './recount.ts'
import { reopenDays, untilNoneIsReopened } from './reopen.ts'
import { SELECT_STATE, type SqlEngine, toState } from './sql.ts'
import { groupsOf } from './steps.ts'
import { totalsAfter, writeTotals } from './totals.ts'
import { raiseRebuilds } from './turn.ts'

const TOTALS_AT_ONCE = 100

/**
 * @param countries null: they are switched off
 * @throws {StoreRefused} for other settings or zone rules than recorded, unless they are adopted; for days whose raw rows are
 *   gone; for countries to derive where they are switched off
 */
export async function rebuild(
  given: SqlEngine,
  countries: Countries | null,
  options: RebuildOptions,
  progress: Progress = () => {},
): Promise<Rebuilt> {
  const { rawFrom } = toState((await given.reader.all(SELECT_STATE))[0]!)
  const gone = [options.from, options.to].find(day => day !== undefined && rawFrom !== null && day < rawFrom)
  if (gone !== undefined) {
    throw new StoreRefused(
      `raw rows before ${rawFrom} are gone, so ${gone} cannot be counted again: begin with --from ${rawFrom}`,
    )
  }
  const texts = textsToDerive(options.derive ?? [], countries)
  refuseNoDays(options, await allDays(given, given.reader))
  const whoNow = async () => new Who({ countries, ownHosts: await ownHosts(given.reader) })
  if (options.adoptSettings) await adoptSettings(given, await whoNow(), progress)
  const engine = whileAgreed(given, await checkAgreement(given))
  const state = toState((await engine.reader.all(SELECT_STATE))[0]!)
  await reopenDays(engine, progress)

  // Read after the agreement: a list of own hosts that is recorded later ends this.
  const who = await whoNow()
  let fixed = await rebuildRows(engine, who, progress)
  const asked = options.adoptSettings ? {} : options
  const days = (await allDays(engine, engine.reader)).filter(day => isAsked(asked, day))
  // While a day is being opened again, its unique views cannot be compared with its rows, so a plain rebuild leaves them. After
  // other settings were adopted, or bots derived again, it waits for the day: its unique views would otherwise stay those of before.
  const changesReaders = options.adoptSettings || texts.has('agent')
  const untilOpen = changesReaders ? () => untilNoneIsReopened(engine, progress, async () => {}) : null
  const derivation = options.derive === undefined ? null : { who, texts }
  const counted = await rebuildDays(engine, days, { untilOpen, derivation }, progress)
  fixed += counted.fixed
  fixed += await rebuildTotals(engine, progress)
  return {
    fixed,
    derived: counted.derived,
    days: days.filter(day => hasRows(state, day)).length,
    firstDay: latest(state.rawFrom, state.settingsSince),
  }
}

/** Refuses every step after the agreement was replaced: what is corrected by this process's calendar would then be wrong. */
export function whileAgreed(engine: SqlEngine, agreement: number): SqlEngine {
  return {
    ...engine,
    exclusive: work =>
      engine.exclusive((client, state) => {
        if (state.agreement !== agreement) throw new StoreRefused(AGREEMENT_REPLACED)
        return work(client, state)
      }),
  }
}

async function rebuildDays(
  engine: SqlEngine,
  days: readonly Day[],
  { untilOpen, derivation }: Pick<DayRebuild, 'untilOpen'> & { derivation: Derivation | null },
  progress: Progress,
): Promise<Pick<Rebuilt, 'fixed' | 'derived'>> {
  const recount = new DayRecount(engine, true)
  let fixed = 0
  let derived = 0
  try {
    for (const [index, day] of days.entries()) {
      const step = () => progress('days', index, days.length)
      // Day by day, so that an interruption leaves at most one day to be counted again.
      if (derivation !== null) derived += await rebuildWho(engine, derivation, day, step)
      fixed += await rebuildDay({ engine, recount, step, untilOpen }, day)
      fixed += await rebuildBreakdowns(engine, day, step)
      progress('days', index + 1, days.length)
    }
  } finally {
    recount.close()
  }
  return { fixed, derived }
}

async function rebuildTotals(engine: SqlEngine, progress: Progress): Promise<number> {
  const [count] = await engine.reader.all('SELECT COUNT(*) AS posts FROM post_view_totals')
  const posts = Number(count!['posts'])
  let fixed = 0
  let done = 0
  let after: string | null = ''
  while (after !== null) {
    const from: string = after
    const { pairs, last } = await engine.snapshot(client => totalsAfter(engine, client, from))
    const wrong = pairs.filter(
      ({ key, expected, found }) => differences('total', key, expected, found).length > 0,
    )
    for (const some of groupsOf(wrong, TOTALS_AT_ONCE)) {
      // Summed up again from the present days: batches have added to both since the comparison.
      await engine.exclusive(async client => {
        await writeTotals(
          engine,
          client,
          some.map(({ key }) => key),
        )
        await raiseRebuilds(client)
      })
      progress('posts', Math.min(done, posts), posts)
    }
    fixed += wrong.length
    done += pairs.length
    progress('posts', Math.min(done, posts), posts)
    after = last
  }
  return fixed
}
