import type { Command } from 'commander'
import { declareSetupOptions } from '../setup-options.ts'

const EXAMPLES = `
Examples:
  sallyport doctor
  sallyport doctor -c production.yaml --brokers kafka:9092 --registry http://registry:8081 --json

It changes nothing, but for a topic of its own that lives for a moment: only a record tells what the brokers’ clock
says. Ends with 4 where something wants doing.`

/** `sallyport doctor`: what keeps the services from working, or will, and what to do about each. */
export function register(program: Command): void {
  declareSetupOptions(program.command('doctor'))
    .description('check Node, settings, secrets, certificate, brokers, clock, topics and schemas')
    .addHelpText('after', EXAMPLES)
    .action(async options => await (await import('../check/doctor.ts')).doctor(options))
}
