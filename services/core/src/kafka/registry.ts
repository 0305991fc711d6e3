import { setTimeout as sleep } from 'node:timers/promises'
import confluent from '@kafkajs/confluent-schema-registry'
import { type AvroSchema, parseSchema } from '../codec.ts'
import { errorMessage, SallyportError } from '../errors.ts'
import { errorCodeOf, registryQuestions, registryUnreachable } from '../registry-questions.ts'
import { DOUBT_MS, SchemaBook, type SchemaLookup } from '../schema-book.ts'

/** How often a conflict is tried before it counts as a refusal. */
const TRIES_MAX = 10
const CONFLICT_PAUSE_MS = 100
const REQUEST_TIMEOUT_MS = 5_000
/** How many of a subject's versions are known from the start: the latest. */
const VERSIONS_MAX = 20

const { SchemaRegistry: Client, COMPATIBILITY } = confluent
/** The name of the library's error for a subject that has another compatibility; it exports no class. */
const MISMATCH = 'ConfluentSchemaRegistryCompatibilityError'

/** How a schema stands to what a subject has. */
export type SchemaStanding =
  /** The subject has no version yet. */
  | { readonly kind: 'new' }
  | { readonly kind: 'registered'; readonly id: number }
  | { readonly kind: 'compatible' }
  | { readonly kind: 'incompatible'; readonly reason: string }

/** The schemas behind the ids in wire format. */
export interface SchemaRegistry {
  /**
   * Registers a schema under a subject with BACKWARD_TRANSITIVE compatibility and returns its id; the same schema
   * again returns the same id. Throws `SP_SCHEMA_INCOMPATIBLE` with the registry's reason, or
   * `SP_REGISTRY_UNREACHABLE` (retryable).
   */
  register(subject: string, schema: AvroSchema): Promise<number>
  /** What registering a schema would come to; nothing is registered. Throws `SP_REGISTRY_UNREACHABLE` (retryable). */
  check(subject: string, schema: AvroSchema): Promise<SchemaStanding>
  /**
   * Learns the ids of all versions that a subject has, so that what earlier releases wrote can be read without a
   * question. What cannot be had is asked for when it is met: nothing is thrown.
   */
  recall(subject: string): Promise<void>
  /** The schema behind an id; that there is none is believed after a while only (schema-book.ts). */
  readonly find: SchemaLookup
  /** The same, believed at once: for those who only show. */
  readonly glance: SchemaLookup
}

/**
 * A registry with a Confluent-compatible API. `url` is its base: `{url}/schemas/ids/1` answers. `doubtMs`: how long it
 * must deny a schema before that is believed; default 30 s.
 */
export function createRegistry(url: string, doubtMs: number = DOUBT_MS): SchemaRegistry {
  const book = new SchemaBook(registryQuestions(url), doubtMs)
  /** Subjects whose versions are known. */
  const recalled = new Set<string>()
  const client = new Client({
    host: url,
    clientId: 'sallyport',
    // The callers retry, and know how long they may.
    retry: { maxRetryTimeInSecs: 1, initialRetryTimeInSecs: 0.1, factor: 0.2, multiplier: 2, retries: 1 },
  })

  async function register(subject: string, schema: AvroSchema): Promise<number> {
    const raw = { type: confluent.SchemaType.AVRO as const, schema: schema.text }
    const options = { subject, compatibility: COMPATIBILITY.BACKWARD_TRANSITIVE }
    for (let tries = 1; ; tries++) {
      try {
        const { id } = await client.register(raw, options)
        book.know(id, schema)
        return id
      } catch (error) {
        const status = httpStatus(error)
        const isMismatch = (error as Error).name === MISMATCH
        if (status !== 409 && status !== 422 && !isMismatch) throw registryUnreachable(url, error)
        // The first to register a subject sets its compatibility next; whoever comes in between gets a conflict or
        // finds another one, and finds the subject settled when it asks again.
        if (tries === TRIES_MAX)
          throw isMismatch ? mismatch(url, subject, error) : incompatible(subject, schema, error)
        await sleep(CONFLICT_PAUSE_MS)
      }
    }
  }

  async function check(subject: string, schema: AvroSchema): Promise<SchemaStanding> {
    const path = `subjects/${encodeURIComponent(subject)}`
    const found = await ask(path, schema)
    if (found.status === 200) return { kind: 'registered', id: (found.body as { id: number }).id }
    const compatible = await ask(`compatibility/${path}/versions?verbose=true`, schema)
    if (compatible.status === 404) return { kind: 'new' }
    const { is_compatible: isCompatible, messages = [] } = compatible.body as {
      is_compatible?: boolean
      messages?: readonly string[]
    }
    if (compatible.status === 200 && isCompatible === true) {
      return found.status === 404 && (await ask(`${path}/versions`)).status === 404
        ? { kind: 'new' }
        : { kind: 'compatible' }
    }
    return { kind: 'incompatible', reason: messages.join('; ') || `HTTP ${compatible.status}` }
  }

  async function recall(subject: string): Promise<void> {
    if (recalled.has(subject)) return
    const path = `subjects/${encodeURIComponent(subject)}/versions`
    try {
      const { body } = await ask(path)
      const versions = Array.isArray(body) ? body.slice(-VERSIONS_MAX) : []
      // The only one is what was registered.
      if (versions.length > 1) for (const version of versions) learn((await ask(`${path}/${version}`)).body)
      recalled.add(subject)
    } catch {
      // A registry that is away would be waited for at each of them; they are asked for when they are met.
    }
  }

  function learn(version: unknown): void {
    const { id, schema } = (version ?? {}) as { id?: unknown; schema?: unknown }
    if (typeof id !== 'number' || typeof schema !== 'string') return
    try {
      book.know(id, parseSchema(schema))
    } catch {
      // Not Avro: none of ours.
    }
  }

  /** Posts a schema to the registry's API, or reads; no answer is what a proxy says, or a status of 500 and above. */
  async function ask(path: string, schema?: AvroSchema): Promise<{ status: number; body: unknown }> {
    try {
      const response = await fetch(`${url}/${path}`, {
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
        ...(schema === undefined
          ? {}
          : {
              method: 'POST',
              headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
              body: JSON.stringify({ schema: schema.text }),
            }),
      })
      const body = (await response.json()) as unknown
      if (response.status >= 500 || (response.status === 404 && typeof errorCodeOf(body) !== 'number'))
        throw new Error(`HTTP ${response.status} is no answer of a registry`)
      return { status: response.status, body }
    } catch (error) {
      throw registryUnreachable(url, error)
    }
  }

  // Not `client.getSchema`: it caches a type parsed with other union rules than ours.
  return { register, check, recall, find: book.find, glance: book.glance }
}

function incompatible(subject: string, schema: AvroSchema, cause: unknown): SallyportError {
  return new SallyportError(
    'SP_SCHEMA_INCOMPATIBLE',
    `the registry refuses ${schema.name} for subject ${subject}: ${errorMessage(cause)}. Make the change backward compatible: give new fields a default, keep the old ones' types`,
    { cause },
  )
}

/** An operator chose another one, or whoever registered the subject was killed before it could set it. */
function mismatch(url: string, subject: string, cause: unknown): SallyportError {
  const wanted = COMPATIBILITY.BACKWARD_TRANSITIVE
  return new SallyportError(
    'SP_SCHEMA_INCOMPATIBLE',
    `subject ${subject}: ${errorMessage(cause)}. Set it: curl -X PUT -H 'Content-Type: application/json' -d '{"compatibility":"${wanted}"}' ${url}/config/${subject}`,
    { cause },
  )
}

function httpStatus(error: unknown): number | undefined {
  const status = (error as { status?: unknown } | null)?.status
  return typeof status === 'number' ? status : undefined
}
