import { readFileSync } from 'node:fs'
import path from 'node:path'
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import YAML from 'yaml'
import { type DurationLimits, type DurationText, durationWithin } from './duration.ts'
import { errorMessage, SallyportError } from './errors.ts'
import type { TopicPlan } from './topics.ts'

/** One source as written in `sallyport.yaml`, its references not yet resolved; see `schemas/source.schema.json`. */
export type SourceEntry = Readonly<Record<string, unknown>>

export interface IngressSettings {
  readonly host: string
  readonly port: number
  /** Scheme and host that senders call, where they differ from what arrives here. */
  readonly publicUrl?: string
  /** Port of the listener with `/metrics`; none where absent. */
  readonly adminPort?: number
  readonly adminHost: string
  /** Absolute paths of the PEM files. */
  readonly tls?: { readonly cert: string; readonly key: string }
  /** What becomes of deliveries without TLS on a listener that is not loopback. */
  readonly plainHttp: 'refuse' | 'allow'
  /** Addresses and networks of the proxies whose forwarding headers are believed. */
  readonly trustedProxies: readonly string[]
  /** Longest body, before and after content decoding. */
  readonly bodyBytesMax: number
  /** Most bytes of request line and headers. */
  readonly headerBytesMax: number
  /** Most header lines of a request: each takes memory beside its bytes. */
  readonly headerLinesMax: number
  readonly headerTimeoutMs: number
  /** From the first byte of a request to the last of its body; not below `headerTimeoutMs`. */
  readonly bodyTimeoutMs: number
  readonly keepAliveTimeoutMs: number
  /** How long an answer may wait for its sender to read it. */
  readonly answerTimeoutMs: number
  /** Age from which a connection takes no further request. */
  readonly connectionAgeMaxMs: number
  readonly connectionsMax: number
  /** Connections of one client address: an IPv4 address or an IPv6 network of 64 bits. */
  readonly connectionsPerAddressMax: number
  /** Requests of one connection that may be unanswered at once. */
  readonly pipelinedRequestsMax: number
  /** 0: any number. */
  readonly requestsPerConnectionMax: number
  /** One deadline from the complete body to Kafka's acknowledgement. */
  readonly publishTimeoutMs: number
  readonly inFlightBytesMax: number
  /** The part of `inFlightBytesMax` that one client address may take; never below `bodyBytesMax`. */
  readonly inFlightBytesPerAddressMax: number
  /** Failed verifications of one client address, since one succeeded. */
  readonly failuresPerMinuteMax: number
  /** Client addresses of which something is remembered. */
  readonly addressesMax: number
  readonly retryAfterMs: number
  /**
   * References to the keys that seal the secrets which sources learn from their senders; the first seals, all open. Only
   * sources with `awaitSecret` need one.
   */
  readonly sealingKeys?: readonly string[]
  /** How much a refused caller is told of why its proof does not hold. */
  readonly refusalDetail: 'auto' | 'terse' | 'full'
  readonly drainTimeoutMs: number
}

export interface ProcessorEntry {
  /** Absolute path of the module. */
  readonly module: string
  readonly retry?: readonly string[]
  readonly timeout?: string
  readonly concurrency?: number
  readonly breaker?: {
    readonly window?: string
    readonly errorRate?: number
    readonly attemptsMin?: number
    readonly pause?: string
    readonly pauseMax?: string
  }
  readonly failures?: Readonly<Record<string, 'retry' | 'outage' | 'fatal'>>
  readonly start?: 'earliest' | 'latest'
  readonly settings?: Readonly<Record<string, unknown>>
}

export interface ProcessingSettings {
  /** Port of a listener with `/metrics` and the health paths; none where absent. */
  readonly adminPort?: number
  readonly adminHost: string
  readonly sessionTimeoutMs: number
  readonly transactionTimeoutMs: number
  /** Distinct partitions that one transaction writes outputs to at most, and so one attempt. */
  readonly transactionPartitionsMax: number
  readonly queueRecordsMax: number
  readonly queueBytesMax: number
  /** Bytes of records, and of what was emitted, that the handlers of one processor may hold at once. */
  readonly attemptBytesMax: number
  /** Bytes that one attempt may emit in all. */
  readonly emitBytesMax: number
  /** How often lag and last stable offsets are looked at, ms. */
  readonly lagIntervalMs: number
  /** How long a last stable offset may stand still below the end before that is an alarm, ms. */
  readonly stableOffsetStallMs: number
  /** How long the registry must deny a schema before records under its id count as poison, ms. */
  readonly schemaDoubtMs: number
  /** Failures of one partition in a row from which on it alone is held back. */
  readonly holdBackAfter: number
  /** How long a partition is held back at first, ms; twice as long each time that it fails again. */
  readonly holdBackForMs: number
  /** How long it is held back at most, ms. */
  readonly holdBackForMaxMs: number
  readonly drainTimeoutMs: number
  /** How long a process may not answer its supervisor, or an attempt in quarantine compute, before it is ended, ms. */
  readonly hangTimeoutMs: number
  /** Memory that records, what is emitted, outcomes and claims of one process may take together. */
  readonly memoryBytesMax?: number
  /** The part of it that claims may take. */
  readonly claimsBytesMax?: number
  /** Absolute path of the folder for checkpoints of the claims; none are kept where absent. */
  readonly checkpointFolder?: string
  /** How old a partition's checkpoint gets while its claims change, ms. */
  readonly checkpointIntervalMs: number
  /** Events a second of all sources; with it, a start is refused when a window's claims would not fit. */
  readonly expectedEventsPerSecond?: number
}

/** `sallyport.yaml`, checked, with every default filled in. */
export interface Settings {
  /** Absolute path of the file. */
  readonly file: string
  /** The dedupe window, ms. */
  readonly windowMs: number
  readonly partitions: number
  readonly deadLetterRetentionMs: number
  readonly ingress: IngressSettings
  readonly sources: Readonly<Record<string, SourceEntry>>
  readonly processors: readonly ProcessorEntry[]
  readonly processing: ProcessingSettings
}

/** The shape after the JSON Schema has filled in its defaults. */
interface Document {
  window: string
  topics: { partitions: number; deadLetterRetention: string }
  ingress: Omit<IngressSettings, `${string}Ms`> & {
    headerTimeout: string
    bodyTimeout: string
    keepAliveTimeout: string
    answerTimeout: string
    connectionAgeMax: string
    publishTimeout: string
    retryAfter: string
    drainTimeout: string
  }
  sources: Record<string, SourceEntry>
  processors: (string | ProcessorEntry)[]
  processing: {
    adminPort?: number
    adminHost: string
    sessionTimeout: string
    transactionTimeout: string
    transactionPartitionsMax: number
    queueRecordsMax: number
    queueBytesMax: number
    attemptBytesMax: number
    emitBytesMax: number
    lagInterval: string
    stableOffsetStall: string
    schemaDoubt: string
    holdBackAfter: number
    holdBackFor: string
    holdBackForMax: string
    drainTimeout: string
    hangTimeout: string
    memoryBytesMax?: number
    claimsBytesMax?: number
    checkpointFolder?: string
    checkpointInterval: string
    expectedEventsPerSecond?: number
  }
}

/** The JSON Schema's descriptions say the same. */
export const DURATION_LIMITS = {
  window: ['1s', '365d'],
  'topics.deadLetterRetention': ['1m', '3650d'],
  'ingress.headerTimeout': ['100ms', '1h'],
  'ingress.bodyTimeout': ['100ms', '1h'],
  'ingress.keepAliveTimeout': ['100ms', '1d'],
  'ingress.answerTimeout': ['100ms', '1h'],
  'ingress.connectionAgeMax': ['1s', '365d'],
  'ingress.publishTimeout': ['100ms', '10m'],
  'ingress.retryAfter': ['1s', '1d'],
  'ingress.drainTimeout': ['0s', '1d'],
  // Kafka's group.max.session.timeout.ms and transaction.max.timeout.ms: beyond them no broker lets it in.
  'processing.sessionTimeout': ['1s', '30m'],
  'processing.transactionTimeout': ['1s', '15m'],
  'processing.lagInterval': ['100ms', '1d'],
  'processing.stableOffsetStall': ['1s', '1d'],
  'processing.schemaDoubt': ['0s', '1h'],
  'processing.holdBackFor': ['1s', '1d'],
  'processing.holdBackForMax': ['1s', '1d'],
  'processing.drainTimeout': ['0s', '1d'],
  'processing.hangTimeout': ['1s', '1d'],
  // Well below the age from which a checkpoint is not used any more.
  'processing.checkpointInterval': ['1s', '6h'],
} as const satisfies Record<string, DurationLimits>

function within(file: string, setting: keyof typeof DURATION_LIMITS, text: DurationText): number {
  return durationWithin(text, `${file}: ${setting}`, DURATION_LIMITS[setting])
}

function schemaFile(name: string): Record<string, unknown> {
  return JSON.parse(readFileSync(new URL(`../../../schemas/${name}`, import.meta.url), 'utf8'))
}

let compiled: ValidateFunction<Document> | undefined

/** The schema's validator, made when it is first asked for: compiling it takes longer than many a command. */
function validator(): ValidateFunction<Document> {
  if (compiled === undefined) {
    const ajv = new Ajv({ useDefaults: true, allErrors: true, strict: false, formats: { uri: URL.canParse } })
    ajv.addSchema(schemaFile('source.schema.json'), 'source.schema.json')
    compiled = ajv.compile<Document>(schemaFile('sallyport.schema.json'))
  }
  return compiled
}

/**
 * Reads and checks `sallyport.yaml`. `SALLYPORT_INGRESS_HOST` and `SALLYPORT_INGRESS_PORT` win over the file.
 * Throws `SP_SETTINGS`, naming the file, the place and what it should be. Secrets stay references: see `secrets.ts`.
 */
export function loadSettings(file: string, env: NodeJS.ProcessEnv): Settings {
  const absolute = path.resolve(file)
  const document = parse(absolute)
  const validate = validator()
  if (!validate(document)) throw invalid(absolute, validate.errors ?? [])
  const { ingress, processing, topics } = document
  return {
    file: absolute,
    windowMs: within(absolute, 'window', document.window),
    partitions: topics.partitions,
    deadLetterRetentionMs: within(absolute, 'topics.deadLetterRetention', topics.deadLetterRetention),
    ingress: ingressSettings(ingress, absolute, env),
    sources: document.sources,
    processors: document.processors.map(entry => processorEntry(entry, path.dirname(absolute))),
    processing: {
      ...(processing.adminPort === undefined ? {} : { adminPort: processing.adminPort }),
      adminHost: processing.adminHost,
      sessionTimeoutMs: within(absolute, 'processing.sessionTimeout', processing.sessionTimeout),
      transactionTimeoutMs: within(absolute, 'processing.transactionTimeout', processing.transactionTimeout),
      transactionPartitionsMax: processing.transactionPartitionsMax,
      queueRecordsMax: processing.queueRecordsMax,
      queueBytesMax: processing.queueBytesMax,
      attemptBytesMax: processing.attemptBytesMax,
      emitBytesMax: processing.emitBytesMax,
      lagIntervalMs: within(absolute, 'processing.lagInterval', processing.lagInterval),
      stableOffsetStallMs: within(absolute, 'processing.stableOffsetStall', processing.stableOffsetStall),
      schemaDoubtMs: within(absolute, 'processing.schemaDoubt', processing.schemaDoubt),
      holdBackAfter: processing.holdBackAfter,
      holdBackForMs: within(absolute, 'processing.holdBackFor', processing.holdBackFor),
      holdBackForMaxMs: within(absolute, 'processing.holdBackForMax', processing.holdBackForMax),
      drainTimeoutMs: within(absolute, 'processing.drainTimeout', processing.drainTimeout),
      hangTimeoutMs: within(absolute, 'processing.hangTimeout', processing.hangTimeout),
      ...(processing.memoryBytesMax === undefined ? {} : { memoryBytesMax: processing.memoryBytesMax }),
      ...(processing.claimsBytesMax === undefined ? {} : { claimsBytesMax: processing.claimsBytesMax }),
      ...(processing.checkpointFolder === undefined
        ? {}
        : { checkpointFolder: path.resolve(path.dirname(absolute), processing.checkpointFolder) }),
      checkpointIntervalMs: within(absolute, 'processing.checkpointInterval', processing.checkpointInterval),
      ...(processing.expectedEventsPerSecond === undefined
        ? {}
        : { expectedEventsPerSecond: processing.expectedEventsPerSecond }),
    },
  }
}

function ingressSettings(
  ingress: Document['ingress'],
  file: string,
  env: NodeJS.ProcessEnv,
): IngressSettings {
  const {
    headerTimeout,
    bodyTimeout,
    keepAliveTimeout,
    answerTimeout,
    connectionAgeMax,
    publishTimeout,
    retryAfter,
    drainTimeout,
    ...rest
  } = ingress
  const { tls } = rest
  const folder = path.dirname(file)
  const settings: IngressSettings = {
    ...rest,
    host: env.SALLYPORT_INGRESS_HOST ?? ingress.host,
    port: env.SALLYPORT_INGRESS_PORT === undefined ? ingress.port : port(env.SALLYPORT_INGRESS_PORT),
    ...(tls === undefined
      ? {}
      : { tls: { cert: path.resolve(folder, tls.cert), key: path.resolve(folder, tls.key) } }),
    headerTimeoutMs: within(file, 'ingress.headerTimeout', headerTimeout),
    bodyTimeoutMs: within(file, 'ingress.bodyTimeout', bodyTimeout),
    keepAliveTimeoutMs: within(file, 'ingress.keepAliveTimeout', keepAliveTimeout),
    answerTimeoutMs: within(file, 'ingress.answerTimeout', answerTimeout),
    connectionAgeMaxMs: within(file, 'ingress.connectionAgeMax', connectionAgeMax),
    publishTimeoutMs: within(file, 'ingress.publishTimeout', publishTimeout),
    retryAfterMs: within(file, 'ingress.retryAfter', retryAfter),
    drainTimeoutMs: within(file, 'ingress.drainTimeout', drainTimeout),
  }
  if (settings.headerTimeoutMs > settings.bodyTimeoutMs) {
    throw new SallyportError(
      'SP_SETTINGS',
      `${file}: ingress.headerTimeout is longer than ingress.bodyTimeout, which covers both: shorten it`,
    )
  }
  if (settings.inFlightBytesMax < settings.bodyBytesMax) {
    throw new SallyportError(
      'SP_SETTINGS',
      `${file}: ingress.inFlightBytesMax is below ingress.bodyBytesMax, so the longest body never fits: raise it`,
    )
  }
  return settings
}

/** What the topics' settings follow from. */
export function topicPlan(settings: Settings): TopicPlan {
  return {
    partitions: settings.partitions,
    windowMs: settings.windowMs,
    deadLetterRetentionMs: settings.deadLetterRetentionMs,
    bodyBytesMax: settings.ingress.bodyBytesMax,
  }
}

function parse(file: string): unknown {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new SallyportError(
      'SP_SETTINGS',
      `cannot read ${file} (${errorMessage(error)}): name another with --config`,
      {
        cause: error,
      },
    )
  }
  const document = YAML.parseDocument(text)
  const [problem] = document.errors
  if (problem !== undefined) throw new SallyportError('SP_SETTINGS', `${file}: ${errorMessage(problem)}`)
  return document.toJS()
}

function invalid(file: string, errors: readonly ErrorObject[]): SallyportError {
  const list = errors
    .filter(error => error.keyword !== 'oneOf' && error.keyword !== 'anyOf')
    .slice(0, 5)
    .map(error => {
      const place = error.instancePath.slice(1).replaceAll('/', '.') || 'the file'
      const extra = (error.params as { additionalProperty?: string }).additionalProperty
      return `${place} ${error.message}${extra === undefined ? '' : ` (${extra})`}`
    })
  return new SallyportError(
    'SP_SETTINGS',
    `${file}: ${list.join('; ')}. The schema is schemas/sallyport.schema.json`,
  )
}

function processorEntry(entry: string | ProcessorEntry, folder: string): ProcessorEntry {
  const object = typeof entry === 'string' ? { module: entry } : entry
  return { ...object, module: path.resolve(folder, object.module) }
}

function port(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 0 || value > 65_535) {
    throw new SallyportError(
      'SP_SETTINGS',
      `SALLYPORT_INGRESS_PORT is ${JSON.stringify(text)}: set it to a port, 0 to 65535`,
    )
  }
  return value
}
