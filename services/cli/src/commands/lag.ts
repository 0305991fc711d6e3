import type { Command } from 'commander'
import { declareKafkaOptions } from '../kafka-options.ts'

const EXAMPLES = `
Records are those that no processor has settled; seconds, how long ago the oldest of them came to its topic. In a retry
tier events wait on purpose. Only partitions with lag are listed, unless --all. Where an operator paused a processor it
says who, since when and why. Of one that never ran every record counts, also where it is set to begin at the latest.

Examples:
  sallyport lag
  sallyport lag ticket-agent --all
  sallyport lag --json | jq '[.lags[].seconds] | max'
  sallyport lag --json | jq -r '.pauses[].processor'

Ends with 3 where there is no such processor.`

/** `sallyport lag`: how far processors are behind. */
export function register(program: Command): void {
  const lag = program
    .command('lag')
    .description('say how far behind each processor is: records and seconds, by tier and partition')
    .argument('[processors...]', 'of these processors')
    .option('--all', 'list partitions without lag too')
    .option('--json', 'one JSON document, with every partition')
  declareKafkaOptions(lag)
    .addHelpText('after', EXAMPLES)
    .action(async (names, options) => await (await import('../lag/lag.ts')).showLag(names, options))
}
