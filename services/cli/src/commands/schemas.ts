import type { Command } from 'commander'
import { declareSetupOptions } from '../setup-options.ts'

/** `sallyport schemas check|register`: the schemas of the settings' topics and the registry. */
export function register(program: Command): void {
  const schemas = program.command('schemas').description('the schemas of the topics')
  declareSetupOptions(schemas.command('check'))
    .description('say how each schema stands to the registry’s versions; registers nothing')
    .addHelpText(
      'after',
      '\nExample:\n  sallyport schemas check --brokers kafka:9092 --registry http://registry:8081\n\nEnds with 4 where the registry would refuse one.',
    )
    .action(async options => await (await import('../schemas/schemas.ts')).checkSchemas(options))
  declareSetupOptions(schemas.command('register'))
    .description('register what is not there yet, with BACKWARD_TRANSITIVE compatibility')
    .addHelpText('after', '\nExample:\n  sallyport schemas register --json')
    .action(async options => await (await import('../schemas/schemas.ts')).registerSchemas(options))
}
