/** What a registry with a Confluent-compatible API is asked by readers: one question, one answer, nothing remembered. */
import { errorMessage, SallyportError } from './errors.ts'

/** Questions to one registry. Both throw `SP_REGISTRY_UNREACHABLE` (retryable) where no registry answers. */
export interface RegistryQuestions {
  /** The base of its API. */
  readonly url: string
  /** The text of a schema; undefined where the registry says, in its own words, that it has none under this id. */
  schemaText(id: number): Promise<string | undefined>
  /** Whether it has any schemas; undefined where this client may not ask. */
  hasSubjects(): Promise<boolean | undefined>
}

const TIMEOUT_MS = 5_000

/**
 * How registries say that an id has no schema: 40403 with Confluent's, Karapace and Apicurio; 40402 with Apicurio where
 * ids are those of versions (`apicurio.ccompat.legacy-id-mode.enabled`). A proxy's 404 has another body, or none.
 */
const NO_SCHEMA_CODES: readonly unknown[] = [40_403, 40_402]

/** `headers` go with each request. */
export function registryQuestions(
  url: string,
  headers: Readonly<Record<string, string>> = {},
): RegistryQuestions {
  async function ask<T>(path: string, read: (status: number, body: unknown) => T): Promise<T> {
    try {
      const response = await fetch(`${url}/${path}`, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) })
      const text = await response.text()
      return read(response.status, bodyOf(text))
    } catch (error) {
      throw registryUnreachable(url, error)
    }
  }
  return {
    url,
    schemaText: id =>
      ask(`schemas/ids/${id}`, (status, body) => {
        if (status === 404 && NO_SCHEMA_CODES.includes(errorCodeOf(body))) return undefined
        const schema = (body as { schema?: unknown } | null)?.schema
        // A proxy's page with status 200 is no answer of a registry either.
        if (status === 200 && typeof schema === 'string') return schema
        throw new Error(`HTTP ${status} is no answer of a registry`)
      }),
    hasSubjects: () =>
      ask('subjects', (status, body) => {
        if (status === 401 || status === 403) return undefined
        if (status === 200 && Array.isArray(body)) return body.length > 0
        throw new Error(`HTTP ${status} is no answer of a registry`)
      }),
  }
}

/** The code in a registry's error; undefined where the body is none. */
export function errorCodeOf(body: unknown): unknown {
  return (body as { error_code?: unknown } | null | undefined)?.error_code
}

function bodyOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export function registryUnreachable(url: string, cause: unknown): SallyportError {
  return new SallyportError(
    'SP_REGISTRY_UNREACHABLE',
    `the schema registry at ${url} does not answer (${errorMessage(cause)}): check SCHEMA_REGISTRY_URL and that it runs`,
    { cause, retryable: true },
  )
}
