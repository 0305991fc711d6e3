import type { Command } from 'commander'
import { declareStartOptions, startOptions } from '../start/options.ts'

/** `sallyport start`, which `npm start` calls: the whole line on this machine, for development. */
export function register(program: Command): void {
  declareStartOptions(program.command('start'))
    .description(
      'run everything on this machine: a broker, a schema registry, the ingress and the processors',
    )
    .addHelpText('after', EXAMPLES)
    .action(async (_options, command: Command) => {
      const options = startOptions(command)
      await (await import('../start/run.ts')).runStart(options, process.env)
      process.exit(0)
    })
}

const EXAMPLES = `
A broker is found by the first way that can be gone: KAFKA_BROKERS and SCHEMA_REGISTRY_URL, Docker, a local Java.
Data stays in .sallyport (SALLYPORT_HOME names another folder); CRM_WEBHOOK_SECRET is made there when it is unset.

Examples:
  npm start                          everything, with what is here
  npm start -- --demo                with a trickle of sample webhooks
  npm start -- --port 9000           on another port
  SALLYPORT_BROKER=jvm npm start     with Java, although Docker runs
  KAFKA_BROKERS=kafka:9092 SCHEMA_REGISTRY_URL=http://registry:8081 npm start
`
