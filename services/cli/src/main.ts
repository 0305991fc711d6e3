import { enableCompileCache } from 'node:module'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import { Command, CommanderError } from 'commander'
import { errorColors } from './colors.ts'
import { commanderExit, EXIT, exitCodeTable, NothingError, UsageError } from './exit.ts'
import { endInterrupted, Interrupted, watchPipes } from './interruption.ts'
import { flushed } from './output.ts'
import { printable } from './printable.ts'
import { listenForStop } from './stop-signal.ts'
import { isMet, type UnforeseenKind } from './unforeseen.ts'

interface CommandModule {
  register(program: Command): void
}

/**
 * One line per command; a command's code is loaded when it is called, or when all are wanted: for help and for
 * completion, which comes last because it completes what is there by then.
 */
const COMMANDS: Readonly<Record<string, () => Promise<CommandModule>>> = {
  start: () => import('./commands/start.ts'),
  ingress: () => import('./commands/ingress.ts'),
  processor: () => import('./commands/processor.ts'),
  index: () => import('./commands/index.ts'),
  send: () => import('./commands/send.ts'),
  verify: () => import('./commands/verify.ts'),
  doctor: () => import('./commands/doctor.ts'),
  config: () => import('./commands/config.ts'),
  init: () => import('./commands/init.ts'),
  add: () => import('./commands/add.ts'),
  sources: () => import('./commands/sources.ts'),
  events: () => import('./commands/events.ts'),
  tail: () => import('./commands/tail.ts'),
  listen: () => import('./commands/listen.ts'),
  lag: () => import('./commands/lag.ts'),
  topics: () => import('./commands/topics.ts'),
  asyncapi: () => import('./commands/asyncapi.ts'),
  schemas: () => import('./commands/schemas.ts'),
  dlq: () => import('./commands/dlq.ts'),
  replay: () => import('./commands/replay.ts'),
  pause: () => import('./commands/pause.ts'),
  resume: () => import('./commands/pause.ts'),
}

/** Commands that run until they are asked to stop. */
const SERVICES: ReadonlySet<string | undefined> = new Set(['ingress', 'processor', 'index'])

const HELP = `
Examples:
  sallyport start                 everything on this machine, for development
  sallyport start --demo          the same, with a trickle of sample webhooks
  sallyport send crm              signed sample webhooks, followed to their end
  sallyport events list --since 2h
  sallyport events show crm/0c41  the whole story of one event
  sallyport tail --source crm     events as they come
  sallyport lag                   how far behind each processor is
  sallyport verify --help         why does a sender get a 401?
  sallyport doctor                what is wrong, and what to do
  sallyport dlq redrive           what would go round again; --yes sends it
  KAFKA_BROKERS=kafka:9092 SCHEMA_REGISTRY_URL=http://registry:8081 sallyport ingress

Exit codes:
${exitCodeTable()}

sallyport COMMAND --help shows a command's options and examples.`

async function main(args: readonly string[]): Promise<void> {
  // What a command loads from here on, Node keeps compiled for the next time, in the system's folder for such.
  enableCompileCache()
  if (SERVICES.has(args[0])) listenForStop()
  process.on('uncaughtException', error => endUnlessMet(error, 'exception'))
  process.on('unhandledRejection', error => endUnlessMet(error, 'rejection'))
  watchPipes()
  const program = new Command('sallyport')
    .description('Webhooks of other companies, verified, durable in Kafka, processed once.')
    .addHelpText('after', HELP)
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(errorColors.red(text)) })
  const name = args[0] ?? ''
  const named = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (named === undefined) await registerAll(program)
  else (await named()).register(program)
  try {
    await program.parseAsync(args, { from: 'user' })
  } catch (error) {
    await end(error)
  }
  await exit(Number(process.exitCode ?? EXIT.done))
}

/** A service may know whose fault it is, and what is to be put in order first. */
function endUnlessMet(error: unknown, kind: UnforeseenKind): void {
  if (!isMet(error, kind)) void end(error)
}

async function registerAll(program: Command): Promise<void> {
  // A module may hold several commands.
  const modules = new Set(await Promise.all(Object.values(COMMANDS).map(load => load())))
  for (const module of modules) module.register(program)
  const completion = await import('./commands/completion.ts')
  completion.register(program)
}

/** Says what went wrong and ends the process: one sentence for what was foreseen, a stack for the rest. */
async function end(error: unknown): Promise<void> {
  if (error instanceof Interrupted) {
    endInterrupted(error.reason)
    return
  }
  // commander has said it already.
  if (error instanceof CommanderError) return await exit(commanderExit(error))
  if (error instanceof UsageError) {
    complain(`error: ${error.message}`)
    return await exit(EXIT.usage)
  }
  if (error instanceof NothingError) {
    complain(error.message)
    return await exit(EXIT.nothing)
  }
  if (error instanceof SallyportError) {
    complain(error.message)
    return await exit(EXIT.error)
  }
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'ENOSPC') {
    complain(`SP_DISK_FULL: ${errorMessage(error)}: free some disk space and start again`)
    return await exit(EXIT.error)
  }
  console.error(error instanceof Error ? error.stack : error)
  await exit(EXIT.unforeseen)
}

/** Messages may quote what others wrote. */
function complain(message: string): void {
  console.error(errorColors.red(message.split('\n').map(printable).join('\n')))
}

/** Ends the process once its output has been taken. */
async function exit(code: number): Promise<never> {
  await flushed()
  process.exit(code)
}

await main(process.argv.slice(2))
