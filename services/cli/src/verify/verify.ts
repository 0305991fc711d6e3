import { readFileSync } from 'node:fs'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import { loadSettings } from '@sallyport/core/settings'
import { openDoors } from '@sallyport/ingress/config'
import type { Source } from '@sallyport/ingress/sources'
import { verify } from '@sallyport/ingress/verify'
import { EXIT, UsageError } from '../exit.ts'
import { print, printDocument, printRecord } from '../output.ts'
import { parseHeaders, rawRequest } from './captured.ts'
import { explain } from './explain.ts'
import { verificationFields } from './fields.ts'
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
  /** ms since the epoch. */
  readonly now?: number
  readonly json: boolean
}

/** `sallyport verify`. */
export async function verifyCommand(options: VerifyOptions): Promise<void> {
  if (options.vectors === undefined) await verifyCaptured(options)
  else await judgeAll(options.vectors)
}

async function judgeAll(file: string): Promise<void> {
  for (const vector of parseVectors(file)) await printRecord(await judgeOne(vector))
}

function parseVectors(file: string): Vector[] {
  const text = read(file, '--vectors').toString('utf8')
  let vectors: unknown
  try {
    vectors = JSON.parse(text)
  } catch (error) {
    throw new UsageError(`--vectors: ${file} is no JSON (${errorMessage(error)}): name a file of vectors`)
  }
  const isList = Array.isArray(vectors) && vectors.every(one => typeof one === 'object' && one !== null)
  if (!isList) throw new UsageError(`--vectors: ${file} is no list of vectors: name a file of vectors`)
  return vectors as Vector[]
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
  const nowMs = options.now ?? Date.now()
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
  if (options.json) await printDocument(await verificationFields(source, request, nowMs, verification))
  else for (const line of await explain(source, request, nowMs, verification)) await print(line)
  if (verification.kind === 'rejected' || verification.kind === 'unavailable') {
    process.exitCode = EXIT.findings
  }
}

/** Compiles the named source alone: secrets of other sources need not be at hand. */
function sourceOf({ config, source: name }: VerifyOptions): Source {
  if (name === undefined) throw new UsageError('--source is missing: name a source of the settings file')
  const settings = loadSettings(config, process.env)
  const entry = Object.hasOwn(settings.sources, name) ? settings.sources[name] : undefined
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

function read(file: string, option: string): Buffer {
  try {
    return readFileSync(file === '-' ? 0 : file)
  } catch (error) {
    throw new UsageError(`${option} cannot be read (${errorMessage(error)}): name a file`)
  }
}
