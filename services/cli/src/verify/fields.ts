import type { RawRequest } from '@sallyport/ingress/delivery'
import type { Source } from '@sallyport/ingress/sources'
import type { Verification } from '@sallyport/ingress/verify'
import { judgementOf } from './judge.ts'
import { FAILED_AT, STEPS, type StepTaken, stepsTaken } from './steps.ts'
import { whatWouldMatch } from './would-match.ts'

/** What one request's verification came to, for machines: the judgement of a vector, with the steps that led to it. */
export async function verificationFields(
  source: Source,
  request: RawRequest,
  nowMs: number,
  verification: Verification,
) {
  const { verdict, code, event, response } = judgementOf('delivery', verification)
  const base = { source: source.name, verdict, code }
  switch (verification.kind) {
    case 'verified':
      return {
        ...base,
        event: { ...event, identity: verification.delivery.verdict.identity },
        steps: named(stepsTaken()),
      }
    case 'challenge':
      return { ...base, response }
    case 'unavailable':
      return { ...base, verdict: 'undecided', status: 503, detail: verification.detail }
    case 'rejected': {
      const { code, status, detail } = verification
      const wouldMatch = code === 'wrong-signature' ? await whatWouldMatch(source, request, nowMs) : []
      return {
        ...base,
        status,
        detail,
        failedStep: FAILED_AT[code],
        wouldMatch,
        steps: named(stepsTaken(code)),
      }
    }
  }
}

function named(steps: readonly StepTaken[]) {
  return steps.map(({ step, state }) => ({ step, state, words: STEPS[step] }))
}
