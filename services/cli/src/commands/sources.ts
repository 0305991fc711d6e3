import type { Command } from 'commander'
import { declareKafkaOptions } from '../kafka-options.ts'
import { duration } from '../option.ts'

const TEN_MINUTES_MS = 600_000

/** `sallyport sources learn|close|forget|show`: the secrets that senders hand over in their handshake. */
export function register(program: Command): void {
  const sources = program
    .command('sources')
    .description('the secrets that senders hand over in their handshake')
  declare(
    sources,
    'learn',
    'let a source learn the secret that its sender offers, for some minutes, and wait for it',
  )
    .option('--for <duration>', 'how long, at most 1h', duration, TEN_MINUTES_MS)
    .option('--from <list>', 'only from these addresses and networks (CIDR), with commas', list, [])
    .option('--no-nonce', 'take it without ?learn= in the URL; needs --from')
    .option(
      '--replace',
      'drop the secrets that were learnt before, instead of keeping them beside the new one',
      false,
    )
    .option(
      '--show',
      'print the secret, where the sender wants it back (Notion); needs ingress.sealingKeys here',
      false,
    )
    .addHelpText(
      'after',
      `
Examples:
  sallyport sources learn asana                     prints the URL to create the webhook with
  sallyport sources learn notion --show             prints the verification token for Notion’s form
  sallyport sources learn asana --for 5m --from 203.0.113.0/24 --no-nonce`,
    )
    .action(async (name, options) => await (await import('../sources/learn.ts')).learn(name, options))
  declare(sources, 'close', 'let nothing be learnt any more')
    .addHelpText('after', example('close asana'))
    .action(async (name, options) => await (await import('../sources/change.ts')).closeWindow(name, options))
  declare(sources, 'forget', 'drop every secret that a source has learnt')
    .addHelpText('after', example('forget asana'))
    .action(async (name, options) => await (await import('../sources/change.ts')).forget(name, options))
  declare(sources, 'show', 'what a source has learnt, and whether it may learn now')
    .option('--secret', 'print the newest secret; needs ingress.sealingKeys here', false)
    .addHelpText('after', example('show notion --secret'))
    .action(async (name, options) => await (await import('../sources/show.ts')).showSource(name, options))
}

function declare(sources: Command, verb: string, description: string): Command {
  const command = sources
    .command(verb)
    .description(description)
    .argument('<source>', 'name of the source')
    .option('--config <file>', 'settings file', 'sallyport.yaml')
    .option(
      '--json',
      verb === 'learn' ? 'JSON lines: the URL, then what came of it' : 'one JSON document',
      false,
    )
  return declareKafkaOptions(command)
}

function list(text: string): string[] {
  return text.split(',').map(entry => entry.trim())
}

function example(command: string): string {
  return `\nExample:\n  sallyport sources ${command}`
}
