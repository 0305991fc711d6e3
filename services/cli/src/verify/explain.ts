/**
 * What one request's verification came to, in plain words: which steps it passed, which one failed, and what would
 * have matched instead. Written for the person who looks at a 401.
 */
import type { RawRequest } from '@sallyport/ingress/delivery'
import { REJECTIONS, type RejectionCode } from '@sallyport/ingress/schemes/rejections'
import type { Source } from '@sallyport/ingress/sources'
import type { Verification } from '@sallyport/ingress/verify'
import { printable } from '../printable.ts'
import { STEPS, stepsTaken } from './steps.ts'
import { whatWouldMatch } from './would-match.ts'

/** The lines of the explanation. `nowMs` is the clock that the verification used. */
export async function explain(
  source: Source,
  request: RawRequest,
  nowMs: number,
  verification: Verification,
): Promise<string[]> {
  const lines = [`source   ${source.name} (${schemeWords(source)})`, `request  ${requestWords(request)}`, '']
  if (verification.kind === 'verified') {
    const { verdict } = verification.delivery
    const previous =
      verdict.secretIndex === 0 ? 'the current secret' : `previous secret no. ${verdict.secretIndex}`
    lines.push(...stepLines(), '')
    lines.push(
      `accepted with ${previous}; sender’s id ${verdict.senderId ?? 'none'}, type ${verdict.type ?? 'none'}`,
    )
    lines.push(
      `identity ${verdict.identity}: ${source.preset?.identityReason ?? identityWords(verdict.identity)}`,
    )
  } else if (verification.kind === 'challenge') {
    const { status, body } = verification.response
    const { code, storesSecret } = verification
    lines.push(`a handshake (${code}), answered with ${status} ${JSON.stringify(body)}`)
    if (storesSecret !== undefined) {
      lines.push(`only in the time that sallyport sources learn ${source.name} opens; else with 401`)
    }
  } else if (verification.kind === 'unavailable') {
    lines.push(`not decided: ${verification.detail} The sender would get 503.`)
  } else {
    lines.push(...stepLines(verification.code), '')
    lines.push(`rejected with ${verification.status} ${verification.code}`, `  ${verification.detail}`)
    const words: string = REJECTIONS[verification.code].words
    if (words !== verification.detail) lines.push(`  ${words}`)
    if (verification.code === 'wrong-signature') lines.push(...(await matchLines(source, request, nowMs)))
  }
  if (source.preset?.caution !== undefined) lines.push('', `note     ${source.preset.caution}`)
  // Parts of the request stand in these lines, and a terminal would obey what it finds there.
  return lines.map(printable)
}

function identityWords(identity: 'SENDER_ID' | 'DIGEST'): string {
  return identity === 'SENDER_ID'
    ? 'the signature covers the id'
    : 'the signature covers no id, so the signed bytes count'
}

const MARKS = { ok: 'ok  ', failed: 'FAIL', 'not looked at': '-   ' } as const

function stepLines(code?: RejectionCode): string[] {
  return stepsTaken(code).map(({ step, state }) => {
    const words = `${MARKS[state]} ${STEPS[step]}`
    return state === 'not looked at' ? `${words} (not looked at)` : words
  })
}

async function matchLines(source: Source, request: RawRequest, nowMs: number): Promise<string[]> {
  const found = await whatWouldMatch(source, request, nowMs)
  if (found.length > 0) return found.map(words => `  It would match if ${words}.`)
  return ['  No common change of the body or URL explains it: compare the secret with the sender’s.']
}

function schemeWords({ row, preset, scheme }: Source): string {
  if (row === null) return preset?.title ?? scheme
  const name = preset?.title ?? 'custom scheme'
  return `${name}: ${row.algorithm} in ${row.header}, over ${row.signed ?? '{body}'}`
}

function requestWords({ method, url, headers, body }: RawRequest): string {
  return `${method} ${url}, ${body.length} bytes, ${headers.get('content-type') ?? 'no content type'}`
}
