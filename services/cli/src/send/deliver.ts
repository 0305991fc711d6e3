import { errorMessage, SallyportError } from '@sallyport/core/errors'
import { traceIdOf } from '@sallyport/core/trace'

/** The ingress's answer to one delivery. */
export interface Answer {
  readonly status: number
  readonly body: string
  /** From the request's begin to the answer's end. */
  readonly tookMs: number
  readonly isAccepted: boolean
  /** Undefined where the delivery was not accepted, and where the source has an answer of its own. */
  readonly eventId: string | undefined
  readonly traceId: string | undefined
}

const TIMEOUT_MS = 30_000

/** Posts a signed request. Throws `SP_NOT_RUNNING` when nobody listens. */
export async function deliver(
  url: string,
  body: Buffer,
  headers: Readonly<Record<string, string>>,
): Promise<Answer> {
  const startedAt = performance.now()
  let response: Response
  try {
    response = await fetch(url, {
      method: 'POST',
      body: new Uint8Array(body),
      headers,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
    throw new SallyportError(
      'SP_NOT_RUNNING',
      `${url} does not answer (${errorMessage(cause)}): check that the ingress runs`,
      { cause: error },
    )
  }
  const text = await response.text()
  return {
    status: response.status,
    body: text,
    tookMs: Math.round(performance.now() - startedAt),
    isAccepted: response.ok,
    eventId: response.ok ? acceptedId(text) : undefined,
    traceId: traceIdOf(response.headers.get('traceresponse') ?? undefined),
  }
}

function acceptedId(text: string): string | undefined {
  try {
    const { id } = JSON.parse(text) as { id?: unknown }
    return typeof id === 'string' ? id : undefined
  } catch {
    return undefined
  }
}
