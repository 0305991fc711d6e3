import { errorMessage, SallyportError } from '@sallyport/core/errors'
import { Command } from 'commander'
import { errorColors } from './colors.ts'
import { listenForStop } from './stop-signal.ts'

/** Exit codes: an error that says what to do, and one that nobody foresaw (EX_SOFTWARE of sysexits.h). */
const EXIT_ERROR = 1
const EXIT_UNFORESEEN = 70

interface CommandModule {
  register(program: Command): void
}

/** One line per command; a command's code is loaded when it is called, or when help is asked for. */
const COMMANDS: Readonly<Record<string, () => Promise<CommandModule>>> = {
  start: () => import('./commands/start.ts'),
  ingress: () => import('./commands/ingress.ts'),
  processor: () => import('./commands/processor.ts'),
  send: () => import('./commands/send.ts'),
  verify: () => import('./commands/verify.ts'),
  topics: () => import('./commands/topics.ts'),
}

/** Commands that run until they are asked to stop. */
const SERVICES: ReadonlySet<string | undefined> = new Set(['ingress', 'processor'])

const EXAMPLES = `
Examples:
  sallyport start                 everything on this machine, for development
  sallyport start --demo          the same, with a trickle of sample webhooks
  sallyport send crm              signed sample webhooks, followed to their end
  sallyport verify --help         why does a sender get a 401?
  KAFKA_BROKERS=kafka:9092 SCHEMA_REGISTRY_URL=http://registry:8081 sallyport ingress

sallyport COMMAND --help shows a command's options and examples.`

async function main(args: readonly string[]): Promise<void> {
  if (SERVICES.has(args[0])) listenForStop()
  process.on('uncaughtException', end)
  process.on('unhandledRejection', end)
  const program = new Command('sallyport')
    .description('Webhooks of other companies, verified, durable in Kafka, processed once.')
    .addHelpText('after', EXAMPLES)
  const named = COMMANDS[args[0] ?? '']
  const modules = named === undefined ? Object.values(COMMANDS) : [named]
  for (const load of modules) (await load()).register(program)
  try {
    await program.parseAsync(args, { from: 'user' })
  } catch (error) {
    end(error)
  }
}

/** Says what went wrong and ends the process: one sentence for what was foreseen, a stack for the rest. */
function end(error: unknown): never {
  if (error instanceof SallyportError) {
    console.error(errorColors.red(error.message))
    process.exit(EXIT_ERROR)
  }
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'ENOSPC') {
    console.error(
      errorColors.red(`SP_DISK_FULL: ${errorMessage(error)}: free some disk space and start again`),
    )
    process.exit(EXIT_ERROR)
  }
  console.error(error instanceof Error ? error.stack : error)
  process.exit(EXIT_UNFORESEEN)
}

await main(process.argv.slice(2))
