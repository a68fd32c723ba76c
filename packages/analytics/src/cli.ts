/** The command line: what the person on call types. */

import { isUtf8 } from 'node:buffer'
import { endBy, Interrupted } from '@postviews/client/src/ending.ts'
import type { DimensionName } from '@postviews/client/src/figures.ts'
import { canonicalIp } from '@postviews/client/src/index.ts'
import { isUserId } from '@postviews/client/src/view.ts'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { type Config, ConfigError, databaseUrl, readConfig, SETTINGS } from './config.ts'
import { openCountries } from './derive/countries.ts'
import {
  DEAD_REASONS,
  type DeadMessage,
  type Followed,
  listDead,
  purgeDead,
  replayDead,
} from './ingest/dead.ts'
import { describeError } from './log.ts'
import { type Parts, runService } from './main.ts'
import { printable } from './printable.ts'
import { type Day, isDay } from './store/days.ts'
import { StoreRefused } from './store/failures.ts'
import { openStore } from './store/open.ts'
import { ENGINES, printed, schemaText } from './store/schema-text.ts'
import type { Difference, Progress, Store } from './store/store.ts'
import { derivedWith, LISTED_DIMENSIONS } from './store/who-again.ts'
import { INTERRUPTED, type Print, untilSignal } from './until-signal.ts'

const DAY_MS = 86_400_000

/** How many messages that could not be replayed are named one by one. */
const FAILURES_NAMED = 20

/** Where personal data may remain after `forget`. */
const NOT_FORGOTTEN = ['dead letters', 'queues', 'relay spools', 'backups']
const NOT_FORGOTTEN_HINT = `not reached: ${NOT_FORGOTTEN.join(', ')} (docs/operations.md, "Retention and privacy")`

/** Exit codes. */
const EXIT = { ok: 0, failed: 1, usage: 2 } as const

const program = new Command('postviews')
  .description(
    'Exact post-view statistics: consumes views from RabbitMQ, stores each one, counts each exactly once.',
  )
  .version('0.1.0')
  .showHelpAfterError('(run with --help for usage)')
  .addHelpText(
    'after',
    () =>
      `\nSettings come from the environment:\n\n${settingsHelp()}\n\nExit codes: 0 success, 1 failure or differences, 2 wrong usage or settings.\nA command interrupted by SIGINT or SIGTERM ends by that signal (130, 143);\nrun it again to continue.`,
  )
  .exitOverride()

for (const [name, description, parts] of [
  [
    'serve',
    'migrate, then consume views and serve the internal API, in one process',
    { consumer: true, api: true, migrates: true },
  ],
  [
    'consume',
    'consume views only; health and metrics are on HOST:PORT',
    { consumer: true, api: false, migrates: false },
  ],
  ['api', 'serve the internal API only', { consumer: false, api: true, migrates: false }],
] as [string, string, Parts][]) {
  program
    .command(name)
    .description(description)
    .action(() => runService(configFor({ apiKey: parts.api }), parts))
}

program
  .command('migrate')
  .description(
    'upgrade the database to this version, adopting existing post_views tables, and record SITE_HOSTS',
  )
  .action(() =>
    withStore({ checked: false, derives: true }, async (store, progress, _print, { siteHosts }) => {
      const { replaced } = await store.migrate(progress, { ownHosts: siteHosts, goesBack: true })
      return [...replaced.map(what => `replaced ${what}`), 'the database is up to date'].join('\n')
    }),
  )

program
  .command('schema')
  .description('print the tables of a new database, and the statements that count a batch; needs no database')
  .addOption(
    new Option('--engine <engine>', 'the engine whose SQL to print').choices(ENGINES).makeOptionMandatory(),
  )
  .action(async ({ engine }: { engine: (typeof ENGINES)[number] }) => {
    process.stdout.write(printed(await schemaText(engine)))
  })

program
  .command('verify')
  .description('recount everything, each day from one snapshot, and list every difference; changes nothing')
  .option('--json', 'print each difference as a line of JSON, and a summary as the last line')
  .action(({ json }: { json?: true }) =>
    withStore({}, async (store, progress, print) => {
      let differences = 0
      let ofSchema = 0
      const { days, rows } = await store.verify(difference => {
        differences++
        if (difference.kind === 'schema' || difference.kind === 'id') ofSchema++
        print(json ? JSON.stringify(difference) : describeDifference(difference))
      }, progress)
      if (differences > 0) process.exitCode = EXIT.failed
      if (json) return JSON.stringify({ differences, by_hand: ofSchema, days, rows })
      if (differences === 0) return `every number adds up${days === 0 ? ': no view is counted yet' : ''}`
      const byHand =
        ofSchema === 0
          ? ''
          : `, except the ${ofSchema} of the schema and of ids: see docs/operations.md, "Verify and rebuild"`
      return `${some(differences, 'difference')}; \`postviews rebuild\` corrects them${byHand}`
    }),
  )

program
  .command('rebuild')
  .description('recount from the raw rows and correct every difference while consumers keep running')
  .option(
    '--adopt-settings',
    'record the counting settings of this environment and apply them to every day that can be recounted',
  )
  .option('--from <day>', 'first day to recount (YYYY-MM-DD)', parseDay)
  .option('--to <day>', 'last day to recount', parseDay)
  .option(
    '--derive <dimensions>',
    'first apply the lists of this version to what the raw rows of these days keep: bot,source for example, or all',
    parseDimensions,
  )
  .option('--json', 'print the outcome as JSON')
  .action((options: RebuildArguments, command: Command) => {
    const { adoptSettings, from, to, derive, json } = options
    if (from !== undefined && to !== undefined && from > to) {
      command.error(`--from ${from} is after --to ${to}: there is no day between them`)
    }
    if (adoptSettings && (from ?? to) !== undefined) {
      command.error('--adopt-settings applies to every day: leave out --from and --to')
    }
    return withStore({ checked: false, derives: true }, async (store, progress, _print, { geoipDb }) => {
      const all = LISTED_DIMENSIONS.filter(name => name !== 'country' || geoipDb !== 'none')
      const names = derive === 'all' ? all : derive
      const rebuilt = await store.rebuild(
        {
          adoptSettings: adoptSettings === true,
          ...(from && { from }),
          ...(to && { to }),
          ...(names && { derive: names }),
        },
        progress,
      )
      const { fixed, derived, days, firstDay } = rebuilt
      if (json) return JSON.stringify({ fixed, ...(names && { derived }), days, first_day: firstDay })
      if (days + fixed === 0) return 'there are no days to recount'
      const since = firstDay === null ? '' : `; days before ${firstDay} cannot be recounted`
      const again = names && `derived ${derivedWith(names).join(', ')} of ${some(derived, 'raw row')} again, `
      return `${again ?? ''}recounted ${some(days, 'day')}, corrected ${some(fixed, 'record')}${since}`
    })
  })

const dead = program.command('dead').description('list, replay or purge dead letters')
const reasonOption = () =>
  new Option('--reason <reason...>', 'only dead letters with these reasons').choices(
    Object.keys(DEAD_REASONS),
  )

dead
  .command('list')
  .description('list the dead letters and their reasons; removes nothing')
  .option('--limit <count>', 'list at most this many', parseCount, 100)
  .option('--body', 'show the events too: they may hold personal data')
  .option('--json', 'print each message as a line of JSON')
  .action(({ limit, body, json }: { limit: number; body?: true; json?: true }) =>
    withBroker(async (config, followed, print) => {
      const show = (message: DeadMessage) => {
        print(json ? JSON.stringify(toJson(message, body === true)) : describeDead(message))
        if (body && !json) print(`  ${describeBody(message.body)}`)
      }
      const reasons = await listDead(config.amqpUrls, limit, show, followed)
      return json ? '' : summary(limit, reasons)
    }),
  )

dead
  .command('replay')
  .description('send dead letters to be counted again; views older than EVENT_MAX_AGE stay')
  .addOption(reasonOption())
  .option('--json', 'print the outcome as JSON')
  .action(({ reason, json }: { reason?: string[]; json?: true }) =>
    withBroker(async (config, followed) => {
      let named = 0
      const { replayed, left, tooOld, failed } = await replayDead(
        config.amqpUrls,
        { maxAgeSeconds: config.maxAgeSeconds, ...(reason && { reasons: reason }) },
        (message, why) => {
          if (named++ < FAILURES_NAMED)
            console.error(`not replayed: ${printable(`${nameOf(message)}: ${why}`)}`)
        },
        followed,
      )
      if (failed > 0) process.exitCode = EXIT.failed
      if (json) return JSON.stringify({ replayed, left, too_old: tooOld, failed })
      const notes = [
        ...(tooOld > 0 ? [`${tooOld} of these ${isAre(tooOld)} older than EVENT_MAX_AGE`] : []),
        ...(failed > 0 ? [`${failed} of these could not be sent`] : []),
      ]
      const none = replayed + tooOld + failed > 0 ? '' : `${noneOf(reason)}: `
      return [`${none}replayed ${replayed}, left ${left}`, ...notes].join('; ')
    }),
  )

dead
  .command('purge')
  .description('remove dead letters permanently')
  .addOption(reasonOption())
  .option('--older-than-days <days>', 'only dead letters older than this many days', parseCount)
  .option('--all', 'all dead letters')
  .option('--json', 'print the outcome as JSON')
  .action(
    (options: { reason?: string[]; olderThanDays?: number; all?: true; json?: true }, command: Command) => {
      const { reason, olderThanDays, all, json } = options
      if (reason === undefined && olderThanDays === undefined && all === undefined) {
        command.error('say what to purge: --reason, --older-than-days or --all')
      }
      return withBroker(async (config, followed) => {
        const purged = await purgeDead(
          config.amqpUrls,
          {
            ...(olderThanDays !== undefined && { before: Date.now() - olderThanDays * DAY_MS }),
            ...(reason && { reasons: reason }),
          },
          followed,
        )
        if (json) return JSON.stringify({ purged })
        return purged > 0 ? `purged ${purged}` : `${noneOf(reason ?? olderThanDays)}: purged 0`
      })
    },
  )

program
  .command('prune')
  .description(
    'remove raw rows older than RAW_RETENTION_DAYS, and the keys of days that accept no more views',
  )
  .option('--json', 'print the outcome as JSON')
  .action(({ json }: { json?: true }) =>
    withStore({}, async (store, progress, _print, { rawRetentionDays, maxAgeSeconds }) => {
      const now = Math.floor(Date.now() / 1_000)
      const pruned = await store.prune({ now, rawRetentionDays, maxAgeSeconds }, progress)
      if (json) return JSON.stringify(pruned)
      if (!pruned.ran) return 'another process is pruning: nothing was done here'
      const none = pruned.rows + pruned.days > 0 ? '' : 'nothing is past its retention: '
      return `${none}removed ${some(pruned.rows, 'raw row')}, closed ${some(pruned.days, 'day')}`
    }),
  )

program
  .command('forget')
  .description('erase what identifies a reader from the raw rows; changes no number')
  .option('--user <id>', 'a user id', parseUser)
  .option('--ip <address>', 'an address', parseAddress)
  .option('--json', 'print the outcome as JSON')
  .addHelpText('after', () => `\n${NOT_FORGOTTEN_HINT}`)
  .action(({ user, ip, json }: { user?: string; ip?: string; json?: true }, command: Command) => {
    if ((user === undefined) === (ip === undefined)) {
      command.error('say whom to forget: either --user or --ip')
    }
    return withStore({}, async (store, progress) => {
      const rows = await store.forget(user === undefined ? { ip: ip! } : { userId: user }, progress)
      if (json) return JSON.stringify({ rows, not_reached: NOT_FORGOTTEN })
      const none = rows > 0 ? '' : `no raw row has that ${user === undefined ? 'address' : 'user'}: `
      return `${none}erased personal data from ${some(rows, 'raw row')}\n${NOT_FORGOTTEN_HINT}`
    })
  })

program
  .command('copy')
  .description(
    'copy another database into the ClickHouse database of DATABASE_URL, which must have no views of its own; run it again for newer views',
  )
  .addOption(
    new Option('--from <url>', 'the database to copy, written like DATABASE_URL; nothing in it is changed')
      .env('COPY_FROM')
      .makeOptionMandatory(),
  )
  .option('--json', 'print the outcome as JSON')
  .action(({ from, json }: { from: string; json?: true }, command: Command) => {
    try {
      databaseUrl(from)
    } catch (error) {
      // Commander would print the URL, and with it the password.
      command.error(`--from ${(error as Error).message}`)
    }
    return withStore({}, async (store, progress, _print, { counting }) => {
      if (store.fill === undefined)
        throw new StoreRefused(
          'DATABASE_URL must name a ClickHouse database: `postviews copy` fills no other',
        )
      const source = await openStore(from, counting)
      try {
        await source.checkSettings()
        const { rows, differing } = await store.fill(await source.copySource(), progress)
        if (differing > 0) process.exitCode = EXIT.failed
        if (json) return JSON.stringify({ rows, differing })
        const copied = `copied ${some(rows, 'raw row')}`
        return differing === 0
          ? `${copied}: every day of every post matches the source`
          : `${copied}; ${some(differing, 'day')} of posts differ from the source: stop the consumers of the source and run this again`
      } finally {
        await source.close()
      }
    })
  })

interface RebuildArguments {
  adoptSettings?: true
  from?: Day
  to?: Day
  derive?: readonly DimensionName[] | 'all'
  json?: true
}

/**
 * Runs a command on the store; what it returns is printed at the end.
 *
 * @param needs `derives`: the command may derive the country of a row
 */
function withStore(
  { checked = true, derives = false }: { checked?: boolean; derives?: boolean },
  work: (store: Store, progress: Progress, print: Print, config: Config) => Promise<string>,
): Promise<void> {
  const config = configFor({ apiKey: false })
  return untilSignal(async ({ progress, print, cut }) => {
    const countries = derives && config.geoipDb !== 'none' ? openCountries(config.geoipDb ?? undefined) : null
    const store = await openStore(config.databaseUrl, config.counting, { countries })
    if (store.isCutByClose) cut.addEventListener('abort', () => void store.close(), { once: true })
    try {
      if (checked) await store.checkSettings()
      for (const warning of store.warnings()) console.error(`postviews: warning: ${printable(warning)}`)
      return await work(store, progress, print, config)
    } finally {
      await store.close()
    }
  })
}

function withBroker(
  work: (config: Config, followed: Required<Followed>, print: Print) => Promise<string>,
): Promise<void> {
  const config = configFor({ apiKey: false })
  return untilSignal(({ progress, print, cut }) => work(config, { progress, cut }, print))
}

function configFor(needs: { apiKey: boolean }): Config {
  return readConfig(process.env, needs)
}

function describeDifference({ kind, name, field, expected, found }: Difference): string {
  const shown = (value: string | number | null) => (value === null ? 'nothing' : String(value))
  return `${kind.replace('_', ' ')}: ${name}: ${field} is ${shown(found)}, must be ${shown(expected)}`
}

function describeDead(message: DeadMessage): string {
  const { setAsideAt, reason, sourceQueue, index, leftOut } = message
  const place = index === null ? '' : `, event ${index} of its array`
  const without = leftOut.length === 0 ? '' : `, without ${leftOut.join(', ')}`
  return `${setAsideAt ?? 'at an unknown time'}  ${reason}  from ${sourceQueue ?? 'an unknown queue'}${place}${without}`
}

/** By its id, where it has one. */
function nameOf(message: DeadMessage): string {
  return message.setAsideId ?? describeDead(message)
}

function describeBody(body: Buffer): string {
  return isUtf8(body) ? body.toString('utf8') : `(not UTF-8, as base64) ${body.toString('base64')}`
}

function toJson(message: DeadMessage, withBody: boolean) {
  const { body } = message
  const shown = isUtf8(body) ? { body: body.toString('utf8') } : { body_base64: body.toString('base64') }
  return {
    set_aside_id: message.setAsideId,
    set_aside_at: message.setAsideAt,
    reason: message.reason,
    source_queue: message.sourceQueue,
    index: message.index,
    message_id: message.messageId,
    ...(message.leftOut.length > 0 && { left_out: message.leftOut }),
    ...(withBody && shown),
  }
}

function summary(limit: number, reasons: ReadonlyMap<string, number>): string {
  const count = reasons.values().reduce((sum, times) => sum + times, 0)
  if (count === 0) return 'there are no dead letters'
  const meanings: Readonly<Record<string, string>> = DEAD_REASONS
  const lines = reasons
    .entries()
    .map(([reason, times]) => `  ${times} ${printable(reason)}: ${meanings[reason] ?? ''}`)
  return [`${some(count, 'dead letter')}${count > limit ? `, ${limit} shown` : ''}`, ...lines].join('\n')
}

/** `asked`: the filters of the command; undefined if there were none. */
function noneOf(asked: unknown): string {
  return asked === undefined ? 'there are no dead letters' : 'no dead letters match'
}

function isAre(count: number): string {
  return count === 1 ? 'is' : 'are'
}

/** `1 day`, `2 days`. */
function some(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

function settingsHelp(): string {
  const help = program.createHelp()
  help.prepareContext({ helpWidth: process.stdout.columns ?? 80 })
  const width = Math.max(...SETTINGS.map(({ name }) => name.length))
  return SETTINGS.map(({ name, fallback, help: text }) =>
    help.formatItem(name, width, `${text}${fallback === '' ? '' : ` [${fallback}]`}`, help),
  ).join('\n')
}

function parseDay(text: string): Day {
  if (!isDay(text)) throw new InvalidArgumentError('It is not a day such as 2026-11-21.')
  return text
}

function parseDimensions(text: string): readonly DimensionName[] | 'all' {
  if (text === 'all') return text
  const names = text.split(',').map(name => name.trim())
  const wrong = names.find(name => !LISTED_DIMENSIONS.includes(name as DimensionName))
  if (wrong !== undefined)
    throw new InvalidArgumentError(
      `"${wrong}" is derived by no list. These are: ${LISTED_DIMENSIONS.join(', ')}; or all.`,
    )
  return names as DimensionName[]
}

function parseCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It is not a whole number from 0 to 999999999.')
  return Number(text)
}

function parseUser(text: string): string {
  if (!isUserId(text)) throw new InvalidArgumentError('It is not a positive integer below 2^64.')
  return text
}

function parseAddress(text: string): string {
  const address = canonicalIp(text)
  if (address === undefined) throw new InvalidArgumentError('It is not an IPv4 or IPv6 address.')
  return address
}

// As with `postviews dead list | head`: the reader has not seen everything.
process.stdout.on('error', () => {
  process.exitCode = EXIT.failed
})
// Without stderr, an error can be shown nowhere.
process.stderr.on('error', () => {})

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage
  } else if (error instanceof Interrupted) {
    process.exitCode = EXIT.failed
    if (error.by !== null) {
      console.error(`postviews: ${INTERRUPTED}`)
      endBy(error.by)
    }
  } else {
    console.error(`postviews: ${describeError(error)}`)
    process.exitCode = error instanceof ConfigError ? EXIT.usage : EXIT.failed
  }
}
