import type { Command } from 'commander'
import { declareKafkaOptions } from '../kafka-options.ts'

/** `sallyport pause|resume PROCESSOR`: whether a processor takes records, wherever it runs and however it restarts. */
export function register(program: Command): void {
  declare(program, 'PAUSE', 'begin no more attempts; those under way end, and what arrives waits')
  declare(program, 'RESUME', 'take records again after sallyport pause')
}

function declare(program: Command, kind: 'PAUSE' | 'RESUME', description: string): void {
  const name = kind.toLowerCase()
  const command = program
    .command(name)
    .description(`${description}; at every process of the processor, restarts included`)
    .argument('<processor>', 'name of the processor')
    .option('--why <text>', 'the reason, for the audit')
    .option('--json', 'one JSON document')
    .addHelpText('after', `\nExample:\n  sallyport ${name} ticket-agent --why 'the CRM moves house'`)
  declareKafkaOptions(command).action(
    async (processor, options) =>
      await (await import('../operations/intake.ts')).setIntake(kind, processor, options),
  )
}
