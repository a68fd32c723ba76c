#!/usr/bin/env node
/** The command line: what the person on call types. */

import { canonicalIp } from '@postviews/client'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { type Config, ConfigError, readConfig, SETTINGS } from './config.ts'
import { listDead, purgeDead, replayDead } from './ingest/dead.ts'
import { describeError } from './log.ts'
import { type Parts, runService } from './main.ts'
import { createProgressBar } from './progress.ts'
import { type Day, isDay } from './store/calendar.ts'
import { openStore } from './store/open.ts'
import type { Difference, Progress, Store } from './store/store.ts'

const DAY_MS = 86_400_000

/** What a command ends with. */
const EXIT = { ok: 0, failed: 1, usage: 2 } as const

const program = new Command('postviews')
  .description('Exact post-view statistics: consumes views from RabbitMQ, keeps each one, counts each once.')
  .version('0.1.0')
  .showHelpAfterError('(add --help for what can be said)')
  .addHelpText(
    'after',
    `\nSettings come from the environment:\n\n${settingsHelp()}\n\nExit codes: 0 done, 1 failed or found something wrong, 2 wrong usage or settings.`,
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
    'consume views only (health and metrics on HOST:PORT)',
    { consumer: true, api: false, migrates: false },
  ],
  ['api', 'serve the internal API only', { consumer: false, api: true, migrates: false }],
] as [string, string, Parts][]) {
  program
    .command(name)
    .description(description)
    .action(async () => {
      process.exitCode = await runService(configFor({ apiKey: parts.api }), parts)
    })
}

program
  .command('migrate')
  .description("bring the database to this version; adopts the article's tables with the data in them")
  .action(() =>
    withStore({ checked: false }, async (store, progress) => {
      await store.migrate(progress)
      return 'the database is of this version'
    }),
  )

program
  .command('verify')
  .description('recount everything from one snapshot and name what differs; exits 1 if anything does')
  .option('--json', 'print each difference as a line of JSON')
  .action(({ json }: { json?: true }) =>
    withStore({}, async (store, progress, print) => {
      let differences = 0
      await store.verify(difference => {
        differences++
        print(json ? JSON.stringify(difference) : describeDifference(difference))
      }, progress)
      if (differences === 0) return json ? '' : 'every number adds up'
      process.exitCode = EXIT.failed
      return json
        ? ''
        : `${differences} ${differences === 1 ? 'difference' : 'differences'}; \`postviews rebuild\` puts them right`
    }),
  )

program
  .command('rebuild')
  .description('count again from the raw rows and put right what differs, beside live consumers')
  .option(
    '--adopt-settings',
    'record the counting settings of this environment, and apply them as far back as can be',
  )
  .option('--from <day>', 'only from this day on (YYYY-MM-DD)', parseDay)
  .option('--to <day>', 'only up to this day', parseDay)
  .option('--json', 'print the outcome as JSON')
  .action((options: { adoptSettings?: true; from?: Day; to?: Day; json?: true }) =>
    withStore({ checked: false }, async (store, progress, _print, { ipStorage }) => {
      const { adoptSettings, from, to, json } = options
      const rebuilt = await store.rebuild(
        { adoptSettings: adoptSettings === true, ipStorage, ...(from && { from }), ...(to && { to }) },
        progress,
      )
      if (json) return JSON.stringify({ fixed: rebuilt.fixed, first_day: rebuilt.firstDay })
      const since = rebuilt.firstDay === null ? 'every day' : `the days from ${rebuilt.firstDay} on`
      return `counted ${since} again; put right: ${rebuilt.fixed}`
    }),
  )

const dead = program.command('dead').description('look at, replay or purge what was set aside')
const reasonOption = () => new Option('--reason <reason...>', 'only messages set aside for these reasons')

dead
  .command('list')
  .description('show what was set aside, without taking it out of its queue')
  .option('--limit <count>', 'at most so many', parseCount, 100)
  .option('--body', 'show the events themselves: they may hold personal data')
  .option('--json', 'print each message as a line of JSON')
  .action(({ limit, body, json }: { limit: number; body?: true; json?: true }) =>
    withBroker(async (config, _progress, print) => {
      const count = await listDead(config.amqpUrl, limit, message => {
        const { body: content, ...about } = message
        if (json) return print(JSON.stringify({ ...about, ...(body && { body: content.toString('utf8') }) }))
        const index = about.index === null ? '' : ` (event ${about.index} of its message)`
        print(
          `${about.setAsideAt ?? 'unknown time'}  ${about.reason}  from ${about.sourceQueue ?? 'unknown'}${index}`,
        )
        if (body) print(`  ${content.toString('utf8')}`)
      })
      return json
        ? ''
        : count === 0
          ? 'nothing is set aside'
          : `${count} set aside${count > limit ? `, ${limit} shown` : ''}`
    }),
  )

dead
  .command('replay')
  .description('send what was set aside to be counted again, after a fix; views that are too old stay')
  .addOption(reasonOption())
  .option('--json', 'print the outcome as JSON')
  .action(({ reason, json }: { reason?: string[]; json?: true }) =>
    withBroker(async (config, progress) => {
      const { maxAgeSeconds } = config
      const outcome = await replayDead(
        config.amqpUrl,
        { maxAgeSeconds, ...(reason && { reasons: reason }) },
        progress,
      )
      return json ? JSON.stringify(outcome) : `replayed ${outcome.replayed}, left ${outcome.left}`
    }),
  )

dead
  .command('purge')
  .description('remove what was set aside, for good')
  .addOption(reasonOption())
  .option('--older-than-days <days>', 'only what was set aside longer ago', parseCount)
  .option('--all', 'everything')
  .option('--json', 'print the outcome as JSON')
  .action(
    (options: { reason?: string[]; olderThanDays?: number; all?: true; json?: true }, command: Command) =>
      withBroker(async (config, progress) => {
        const { reason, olderThanDays, all, json } = options
        if (reason === undefined && olderThanDays === undefined && all === undefined) {
          command.error('say what to purge: --reason, --older-than-days or --all')
        }
        const purged = await purgeDead(
          config.amqpUrl,
          {
            ...(olderThanDays !== undefined && { before: Date.now() - olderThanDays * DAY_MS }),
            ...(reason && { reasons: reason }),
          },
          progress,
        )
        return json ? JSON.stringify({ purged }) : `purged ${purged}`
      }),
  )

program
  .command('prune')
  .description(
    'remove raw rows past RAW_RETENTION_DAYS, and the keys of days whose views are accepted no more',
  )
  .option('--json', 'print the outcome as JSON')
  .action(({ json }: { json?: true }) =>
    withStore({}, async (store, progress, _print, { rawRetentionDays, maxAgeSeconds }) => {
      const now = Math.floor(Date.now() / 1_000)
      const pruned = await store.prune({ now, rawRetentionDays, maxAgeSeconds }, progress)
      if (json) return JSON.stringify(pruned)
      return pruned.ran
        ? `removed ${pruned.rows} raw rows, closed ${pruned.days} days`
        : 'another process is pruning'
    }),
  )

program
  .command('forget')
  .description('erase what identifies a reader from the raw rows; changes no number')
  .option('--user <id>', 'a user id', parseUser)
  .option('--ip <address>', 'an address', parseAddress)
  .option('--json', 'print the outcome as JSON')
  .action(({ user, ip, json }: { user?: string; ip?: string; json?: true }, command: Command) =>
    withStore({}, async (store, progress) => {
      if ((user === undefined) === (ip === undefined))
        command.error('say whom to forget: --user or --ip, one of them')
      const rows = await store.forget(user === undefined ? { ip: ip! } : { userId: user }, progress)
      return json ? JSON.stringify({ rows }) : `erased personal data from ${rows} raw rows`
    }),
  )

type Print = (line: string) => void

/** Runs a command on the store; what it returns is printed at the end. */
async function withStore(
  { checked = true }: { checked?: boolean },
  work: (store: Store, progress: Progress, print: Print, config: Config) => Promise<string>,
): Promise<void> {
  const config = configFor({ apiKey: false })
  await withProgress(async (progress, print) => {
    const store = await openStore(config.databaseUrl, config.counting)
    try {
      if (checked) await store.checkSettings()
      return await work(store, progress, print, config)
    } finally {
      await store.close()
    }
  })
}

function withBroker(
  work: (config: Config, progress: Progress, print: Print) => Promise<string>,
): Promise<void> {
  const config = configFor({ apiKey: false })
  return withProgress((progress, print) => work(config, progress, print))
}

async function withProgress(work: (progress: Progress, print: Print) => Promise<string>): Promise<void> {
  const bar = createProgressBar()
  const print = (line: string) => {
    bar.end()
    console.log(line)
  }
  try {
    const outcome = await work(bar.progress, print)
    bar.end()
    if (outcome !== '') console.log(outcome)
  } finally {
    bar.end()
  }
}

function configFor(needs: { apiKey: boolean }): Config {
  return readConfig(process.env, needs)
}

function describeDifference({ kind, name, field, expected, found }: Difference): string {
  const shown = (value: string | number | null) => (value === null ? 'nothing' : String(value))
  return `${kind.replace('_', ' ')}: ${name}: ${field} is ${shown(found)}, must be ${shown(expected)}`
}

function settingsHelp(): string {
  const width = Math.max(...SETTINGS.map(({ name }) => name.length)) + 2
  return SETTINGS.map(
    ({ name, fallback, help }) => `  ${name.padEnd(width)}${help}${fallback === '' ? '' : ` [${fallback}]`}`,
  ).join('\n')
}

function parseDay(text: string): Day {
  if (!isDay(text)) throw new InvalidArgumentError('It is not a day such as 2026-11-21.')
  return text
}

function parseCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It is not a whole number.')
  return Number(text)
}

function parseUser(text: string): string {
  if (!/^[1-9]\d{0,19}$/.test(text)) throw new InvalidArgumentError('It is not a positive integer.')
  return text
}

function parseAddress(text: string): string {
  const address = canonicalIp(text)
  if (address === undefined) throw new InvalidArgumentError('It is not an IPv4 or IPv6 address.')
  return address
}

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage
  } else {
    console.error(`postviews: ${describeError(error)}`)
    process.exitCode = error instanceof ConfigError ? EXIT.usage : EXIT.failed
  }
}
