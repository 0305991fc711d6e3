import { readFileSync } from 'node:fs'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import { loadSettings } from '@sallyport/core/settings'
import { openDoors } from '@sallyport/ingress/config'
import type { Source } from '@sallyport/ingress/sources'
import { verify } from '@sallyport/ingress/verify'
import type { Command } from 'commander'
import { parseHeaders, rawRequest } from '../verify/captured.ts'
import { explain } from '../verify/explain.ts'
import { type Judgement, judge } from '../verify/judge.ts'
import type { Vector } from '../verify/vector.ts'

interface VerifyOptions {
  readonly config: string
  readonly vectors?: string
  readonly source?: string
  readonly headers?: string
  readonly header: readonly string[]
  readonly body?: string
  readonly url?: string
  readonly method: string
  readonly now?: string
}

const EXAMPLES = `
Examples:
  sallyport verify --source crm --headers request.headers --body request.body
  sallyport verify --source github -H 'X-Hub-Signature-256: sha256=…' --body push.json
  sallyport verify --source stripe --headers h.txt --body b.json --now 2027-01-01T00:00:00Z
  sallyport verify --vectors vectors.json

Keep the body as its exact bytes: an editor that adds a last line end breaks the signature.
Ends with 1 where the request is rejected.`

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
    .option('--now <time>', 'the clock: unix seconds or ISO 8601 (default: now)')
    .addHelpText('after', EXAMPLES)
    .action((options: VerifyOptions) =>
      options.vectors === undefined ? verifyCaptured(options) : judgeAll(options.vectors),
    )
}

function collect(line: string, lines: readonly string[]): readonly string[] {
  return [...lines, line]
}

async function judgeAll(file: string): Promise<void> {
  const vectors = JSON.parse(read(file, '--vectors').toString('utf8')) as Vector[]
  for (const vector of vectors) process.stdout.write(`${JSON.stringify(await judgeOne(vector))}\n`)
}

/** Settings that do not compile are the vector's answer too: such a source would not start. The others go on. */
async function judgeOne(vector: Vector): Promise<Judgement> {
  try {
    return await judge(vector)
  } catch (error) {
    const code = error instanceof SallyportError ? error.code : 'unreadable'
    return { id: vector.id, verdict: 'reject', code }
  }
}

async function verifyCaptured(options: VerifyOptions): Promise<void> {
  const nowMs = clock(options.now)
  const source = sourceOf(options)
  const lines = options.header.join('\n')
  const file = options.headers === undefined ? '' : read(options.headers, '--headers').toString('latin1')
  const request = rawRequest({
    method: options.method.toUpperCase(),
    url: options.url ?? `https://localhost/webhooks/${source.name}`,
    headers: parseHeaders(`${file}\n${lines}`),
    body: options.body === undefined ? Buffer.alloc(0) : read(options.body, '--body'),
  })
  const verification = await verify(source, request, nowMs)
  console.log((await explain(source, request, nowMs, verification)).join('\n'))
  if (verification.kind === 'rejected' || verification.kind === 'unavailable') process.exitCode = 1
}

/** Compiles the named source alone: secrets of other sources need not be at hand. */
function sourceOf({ config, source: name }: VerifyOptions): Source {
  if (name === undefined)
    throw new SallyportError('SP_SETTINGS', '--source is required: name a source of the settings file')
  const settings = loadSettings(config, process.env)
  const entry = settings.sources[name]
  if (entry === undefined) {
    const known = Object.keys(settings.sources).join(', ')
    throw new SallyportError('SP_SETTINGS', `${settings.file} has no source ${name}: it has ${known}`)
  }
  // A dedupe window that is too short matters to the processor, not to a signature.
  const alone = { ...settings, sources: { [name]: entry }, windowMs: Number.POSITIVE_INFINITY }
  const door = openDoors(alone, process.env, Date.now).get(name)
  if (door === undefined) throw new SallyportError('SP_SETTINGS', `${name} could not be opened`)
  return door.source
}

function clock(text: string | undefined): number {
  if (text === undefined) return Date.now()
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text)
  if (Number.isNaN(ms))
    throw new SallyportError('SP_SETTINGS', `--now is ${text}: write unix seconds or an ISO 8601 time`)
  return ms
}

function read(file: string, option: string): Buffer {
  try {
    return readFileSync(file === '-' ? 0 : file)
  } catch (error) {
    throw new SallyportError('SP_SETTINGS', `${option} cannot be read (${errorMessage(error)}): name a file`)
  }
}
