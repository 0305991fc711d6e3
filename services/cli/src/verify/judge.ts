import { type Verification, verify } from '@sallyport/ingress/verify'
import { rawRequest } from './captured.ts'
import { sourceOf, type Vector } from './vector.ts'

/** One line of `sallyport verify --vectors`. */
export interface Judgement {
  readonly id: string
  readonly verdict: 'accept' | 'reject'
  readonly code: string
  /** Of accepted deliveries: the sender's own id, and the type; null where there is none. */
  readonly event?: { readonly id: string | null; readonly type: string | null }
  /** Of handshakes. */
  readonly response?: {
    readonly status: number
    readonly body: string
    readonly headers: Readonly<Record<string, string>>
  }
}

/** Judges one vector with the code that the server runs, its `now` as the clock. */
export async function judge(vector: Vector): Promise<Judgement> {
  const request = rawRequest({ ...vector, body: Buffer.from(vector.body_base64, 'base64') })
  const verification = await verify(sourceOf(vector), request, vector.now * 1000)
  return { id: vector.id, ...judgementOf(vector.kind, verification) }
}

/** A verification in the words of the vectors. */
export function judgementOf(kind: Vector['kind'], verification: Verification): Omit<Judgement, 'id'> {
  if (verification.kind === 'verified') {
    const { senderId, type, secretIndex } = verification.delivery.verdict
    const code = secretIndex === 0 ? 'verified' : 'verified-previous-secret'
    return { verdict: 'accept', code, event: { id: senderId, type } }
  }
  if (verification.kind === 'challenge') {
    return { verdict: 'accept', code: verification.code, response: verification.response }
  }
  const { code } = verification
  const status = verification.kind === 'rejected' ? verification.status : 503
  const refused = { verdict: 'reject', code } as const
  return kind === 'handshake' ? { ...refused, response: { status, body: '', headers: {} } } : refused
}
