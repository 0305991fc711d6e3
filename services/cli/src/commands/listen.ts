import type { Command } from 'commander'
import { declareKafkaOptions } from '../kafka-options.ts'
import { duration } from '../option.ts'

const TIMEOUT_MS = 30_000

const EXAMPLES = `
Examples:
  sallyport listen crm --to http://localhost:3000/hooks
  sallyport listen github --type push --to http://localhost:3000/hooks --json

It forwards what is accepted from now on: the body as it was signed, its content type, and the event's attributes as
CloudEvents headers (ce-id, ce-source, ce-type, ce-time), with traceparent and idempotency-key. One at a time, and each
once: what your server refuses is shown, not sent again. It ends at Ctrl-C.`

/** `sallyport listen SOURCE`: a source's events at a local URL, while developing. */
export function register(program: Command): void {
  const listen = program
    .command('listen')
    .description('forward a source’s events to a local URL while developing')
    .argument('<source>', 'whose events')
    .requiredOption('--to <url>', 'where to post them')
    .option('-t, --type <type>', 'only events of this type')
    .option('--timeout <duration>', 'how long to wait for an answer', duration, TIMEOUT_MS)
    .option('--json', 'a JSON line for each event', false)
  declareKafkaOptions(listen)
    .addHelpText('after', EXAMPLES)
    .action(async (source, options) => await (await import('../listen/listen.ts')).listen(source, options))
}
