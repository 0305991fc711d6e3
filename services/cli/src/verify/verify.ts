import { readFileSync } from 'node:fs'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import { loadSettings } from '@sallyport/core/settings'
import { openDoors } from '@sallyport/ingress/config'
import type { Source } from '@sallyport/ingress/sources'
import { verify } from '@sallyport/ingress/verify'
import { parseHeaders, rawRequest } from './captured.ts'
import { explain } from './explain.ts'
import { type Judgement, judge } from './judge.ts'
import type { Vector } from './vector.ts'

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

/** `sallyport verify`. */
export async function verifyCommand(options: VerifyOptions): Promise<void> {
  if (options.vectors === undefined) await verifyCaptured(options)
  else await judgeAll(options.vectors)
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
