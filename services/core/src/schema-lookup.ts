import { type AvroSchema, parseSchema } from './codec.ts'
import { errorMessage, SallyportError } from './errors.ts'

/** The schema of an id, or undefined where the registry has none. Throws `SP_REGISTRY_UNREACHABLE` (retryable). */
export type SchemaLookup = (id: number) => Promise<AvroSchema | undefined>

const TIMEOUT_MS = 5_000

/** Looks schemas up in a registry with a Confluent-compatible API. `headers` go with each request. */
export function schemaLookup(url: string, headers: Readonly<Record<string, string>> = {}): SchemaLookup {
  return async id => {
    const text = await ask(url, id, headers)
    return text === undefined ? undefined : parseSchema(text)
  }
}

/** How often, and how far apart in ms, a registry must say that it has no schema. */
const ASKED = { times: 3, pauseMs: 1_000 }

/**
 * Believes that the registry has no schema only when it says so several times: one that has just started may answer
 * before it has read its own log, and the values would be taken for garbage.
 */
export function confirmed(find: SchemaLookup, { times, pauseMs } = ASKED): SchemaLookup {
  return async id => {
    for (let asked = 1; ; asked++) {
      const schema = await find(id)
      if (schema !== undefined || asked === times) return schema
      await new Promise(resolve => setTimeout(resolve, pauseMs))
    }
  }
}

async function ask(
  url: string,
  id: number,
  headers: Readonly<Record<string, string>>,
): Promise<string | undefined> {
  try {
    const response = await fetch(`${url}/schemas/ids/${id}`, {
      headers,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    if (response.status === 404) return undefined
    if (!response.ok) throw new Error(`HTTP ${response.status}`)
    const { schema } = (await response.json()) as { schema?: unknown }
    // A proxy's page with status 200 is no answer of a registry.
    if (typeof schema !== 'string') throw new Error('the answer has no schema')
    return schema
  } catch (error) {
    throw registryUnreachable(url, error)
  }
}

export function registryUnreachable(url: string, cause: unknown): SallyportError {
  return new SallyportError(
    'SP_REGISTRY_UNREACHABLE',
    `the schema registry at ${url} does not answer (${errorMessage(cause)}): check SCHEMA_REGISTRY_URL and that it runs`,
    { cause, retryable: true },
  )
}
