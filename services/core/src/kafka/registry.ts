import { setTimeout as sleep } from 'node:timers/promises'
import confluent from '@kafkajs/confluent-schema-registry'
import { type AvroSchema, parseSchema } from '../codec.ts'
import { errorMessage, SallyportError } from '../errors.ts'

/** How often a conflict is tried before it counts as a refusal. */
const TRIES_MAX = 3
const CONFLICT_PAUSE_MS = 100

const { SchemaRegistry: Client, COMPATIBILITY } = confluent

/** The schemas behind the ids in wire format. */
export interface SchemaRegistry {
  /**
   * Registers a schema under a subject with BACKWARD_TRANSITIVE compatibility and returns its id; the same schema
   * again returns the same id. Throws `SP_SCHEMA_INCOMPATIBLE` with the registry's reason, or
   * `SP_REGISTRY_UNREACHABLE` (retryable).
   */
  register(subject: string, schema: AvroSchema): Promise<number>
  /** The schema of an id, or undefined where the registry has none. Throws `SP_REGISTRY_UNREACHABLE` (retryable). */
  find(id: number): Promise<AvroSchema | undefined>
}

/** A registry with a Confluent-compatible API. `url` is its base: `{url}/schemas/ids/1` answers. */
export function createRegistry(url: string): SchemaRegistry {
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
        return (await client.register(raw, options)).id
      } catch (error) {
        const status = httpStatus(error)
        if (status !== 409 && status !== 422) throw unreachable(error)
        // The first to register a subject sets its compatibility; whoever comes second at that moment gets a
        // conflict too, and finds the subject settled when it asks again.
        if (tries === TRIES_MAX) throw incompatible(subject, schema, error)
        await sleep(CONFLICT_PAUSE_MS)
      }
    }
  }

  async function find(id: number): Promise<AvroSchema | undefined> {
    // Not `client.getSchema`: it caches a type parsed with other union rules than ours.
    let response: Response
    try {
      response = await fetch(`${url}/schemas/ids/${id}`, { signal: AbortSignal.timeout(5_000) })
    } catch (error) {
      throw unreachable(error)
    }
    if (response.status === 404) return undefined
    if (!response.ok) throw unreachable(new Error(`HTTP ${response.status}`))
    const { schema } = (await response.json()) as { schema: string }
    return parseSchema(schema)
  }

  function unreachable(cause: unknown): SallyportError {
    return new SallyportError(
      'SP_REGISTRY_UNREACHABLE',
      `the schema registry at ${url} does not answer (${errorMessage(cause)}): check SCHEMA_REGISTRY_URL and that it runs`,
      { cause, retryable: true },
    )
  }

  return { register, find }
}

function incompatible(subject: string, schema: AvroSchema, cause: unknown): SallyportError {
  return new SallyportError(
    'SP_SCHEMA_INCOMPATIBLE',
    `the registry refuses ${schema.name} for subject ${subject}: ${errorMessage(cause)}. Make the change backward compatible: give new fields a default, keep the old ones' types`,
    { cause },
  )
}

function httpStatus(error: unknown): number | undefined {
  const status = (error as { status?: unknown } | null)?.status
  return typeof status === 'number' ? status : undefined
}
