/**
 * Svix sends the headers of Standard Webhooks under its own names, or under the plain ones for white-labelled
 * senders; where both are there, its own decide. The id is the one of the family that was proven, never of the
 * other (V6). Facts: svix 2.5.0 dist/webhook.js.
 */
import type { SchemeContext } from './context.ts'
import { asLabel, compileLocation } from './location.ts'
import { compileRow } from './row.ts'
import type { Scheme, TimestampRule } from './scheme.ts'
import { BODY_ALONE, type Outcome, type Verifier } from './verifier.ts'

/** A verifier of both families, made from the row of each. */
export function svix(context: SchemeContext, own: Scheme, plain: Scheme): Verifier {
  const families = { svix: compileFamily(context, own), webhook: compileFamily(context, plain) }
  return {
    proof: [...families.svix.proof, ...families.webhook.proof],
    requestLine: BODY_ALONE,
    authenticate(reading): Outcome | Promise<Outcome> {
      const family = reading.headers.get('svix-signature') === undefined ? 'webhook' : 'svix'
      const outcome = families[family].authenticate(reading)
      if (outcome instanceof Promise || outcome.kind !== 'authentic') return outcome
      return { ...outcome, id: asLabel(reading.headers.only(`${family}-id`)) }
    },
  }
}

function compileFamily(context: SchemeContext, row: Scheme): Verifier {
  const rule = row.timestamp as TimestampRule
  const at = compileLocation(rule.at, 'timestamp')
  const time = { at, unit: rule.unit, tolerance: context.tolerance(rule) }
  return compileRow(row, context.keys(row.secretEncoding), time, `sources.${context.source}.scheme`)
}
