import type { Command } from 'commander'
import { momentOrUnix } from '../option.ts'

const EXAMPLES = `
Examples:
  sallyport verify --source crm --headers request.headers --body request.body
  sallyport verify --source github -H 'X-Hub-Signature-256: sha256=…' --body push.json
  sallyport verify --source stripe --headers h.txt --body b.json --now 2027-01-01T00:00:00Z
  sallyport verify --vectors vectors.json

Keep the body as its exact bytes: an editor that adds a last line end breaks the signature.
Ends with 4 where the request is not accepted. --json names the verdict (accept, reject, undecided) and
the step that failed.`

/** `sallyport verify`: judges captured requests or vectors with the code that the ingress runs. */
export function register(program: Command): void {
  program
    .command('verify')
    .description('say whether a captured request would be accepted, and if not, why')
    .option('-c, --config <file>', 'settings file', 'sallyport.yaml')
    .option('--vectors <file>', 'judge vectors instead: prints one JSON line for each')
    .option('-s, --source <name>', 'the source that the request was sent to')
    .option('--headers <file>', 'file of "name: value" lines')
    .option('-H, --header <line>', 'one header, "name: value"; may be repeated', collect, [])
    .option('--body <file>', 'file of the body, byte for byte; - for standard input')
    .option('--url <url>', 'the whole URL as the sender called it')
    .option('--method <method>', 'HTTP method', 'POST')
    .option(
      '--now <time>',
      'the clock: unix seconds, ISO 8601, or 2h for so long ago (default: now)',
      momentOrUnix,
    )
    .option('--json', 'one JSON document; vectors are one JSON line each anyway', false)
    .addHelpText('after', EXAMPLES)
    .action(async options => await (await import('../verify/verify.ts')).verifyCommand(options))
}

function collect(line: string, lines: readonly string[]): readonly string[] {
  return [...lines, line]
}
