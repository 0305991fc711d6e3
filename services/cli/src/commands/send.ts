import type { Command } from 'commander'
import { duration, wholeNumber } from '../option.ts'

const COUNT_MAX = 10_000_000
const RATE_MAX = 10_000

const EXAMPLES = `
Examples:
  sallyport send crm
  sallyport send github --file push.json -H 'X-GitHub-Event: push'
  sallyport send crm --count 1000 --rate 100 --no-follow
  CRM_WEBHOOK_SECRET=… sallyport send crm --ingress https://hooks.example.com

The source's own secret signs, as its sender does; senders that sign with a private key cannot be stood in for. Times
that stand in the body of a file are sent as they are. Ends with 1 where a delivery is refused, or an event is still on
its way when the time is up.`

/** `sallyport send SOURCE`: deliveries signed as the source's sender does, sent, and followed to their end. */
export function register(program: Command): void {
  program
    .command('send')
    .description('send signed webhooks as a source’s sender would, and follow each event to its end')
    .argument('[source]', 'whose sender to be', 'crm')
    .option('-c, --config <file>', 'settings file', 'sallyport.yaml')
    .option('--ingress <url>', 'another ingress than npm start’s; its events are not followed')
    .option('--file <file>', 'the body, byte for byte, instead of a sample; - for standard input')
    .option('-H, --header <line>', 'one more header, "name: value"; may be repeated', collect, [])
    .option('--count <n>', 'how many deliveries (default: each sample once)', wholeNumber(1, COUNT_MAX))
    .option('--rate <n>', 'deliveries a second (default: one after the other)', wholeNumber(1, RATE_MAX))
    .option('--no-follow', 'do not follow the events')
    .option('--timeout <duration>', 'how long to follow (default: the tiers’ delays and a minute)', duration)
    .option('--json', 'a JSON line for each answer and each step', false)
    .addHelpText('after', EXAMPLES)
    .action(async (source, options) => await (await import('../send/send.ts')).send(source, options))
}

function collect(line: string, lines: readonly string[]): readonly string[] {
  return [...lines, line]
}
