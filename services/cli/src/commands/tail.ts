import { type Command, Option } from 'commander'
import { declareKafkaOptions } from '../kafka-options.ts'

const EXAMPLES = `
Examples:
  sallyport tail
  sallyport tail --source crm --type open --body
  sallyport tail --kind dead-letter
  sallyport tail --json | jq -r .id

It shows what comes from now on, and ends at Ctrl-C.`

/** `sallyport tail`: what happens now. */
export function register(program: Command): void {
  const tail = program
    .command('tail')
    .description('show events as they come: accepted, put off to a retry, given up')
    .option('-s, --source <name>', 'of this source')
    .option('-t, --type <type>', 'of this type')
    .option('--text <text>', 'whose body contains this, letter for letter')
    .addOption(
      new Option('-k, --kind <kinds...>', 'only these').choices([
        'accepted',
        'retry',
        'dead-letter',
        'redrive',
      ]),
    )
    .option('--body', 'with the body')
    .option('--json', 'JSON lines, with the body')
  declareKafkaOptions(tail)
    .addHelpText('after', EXAMPLES)
    .action(async options => await (await import('../tail/tail.ts')).tail(options))
}
