/** What a source must be, and what it must refuse, so that the text of a signature belongs to one delivery alone (V4). */
import { ambiguityOf } from './schemes/boundaries.ts'
import type { IndexedKey } from './schemes/keys.ts'
import type { CompiledLocations } from './schemes/location.ts'
import type { Scheme, SignedUrl, TimestampRule } from './schemes/scheme.ts'
import type { Template } from './schemes/template.ts'
import { bad, type SourceSettings } from './source-settings.ts'

/** Throws `SP_SETTINGS` where the signed text of a row could be cut in another way. */
export function refuseAmbiguous(
  name: string,
  row: Scheme,
  template: Template,
  keys: readonly IndexedKey[],
  rule: TimestampRule | null,
  urlIsFixed: boolean,
): void {
  const ambiguous = ambiguityOf(template, rule?.unit ?? null, urlIsFixed)
  if (ambiguous !== null) throw bad(name, 'scheme.signed', `can be read in two ways: ${ambiguous}`)
  if (row.algorithm === 'sha256') refuseNested(name, keys)
}

/** V4 for plain hashes: of two secrets none may begin or end with the other, or the body could take up the difference. */
function refuseNested(name: string, keys: readonly IndexedKey[]): void {
  for (const a of keys) {
    for (const b of keys) {
      if (a.text !== b.text && (a.text.startsWith(b.text) || a.text.endsWith(b.text))) {
        throw bad(name, 'secrets', 'hold one that begins or ends with another: remove it')
      }
    }
  }
}

/**
 * Whether only JSON is taken: where a source itself names fields of JSON, and where a preset does whose signed text has
 * no mark between the body and a URL or a secret. A form will do where a field of one is named as well.
 */
export function wantsJson(
  settings: SourceSettings,
  row: Scheme | null,
  signedUrl: SignedUrl,
  id: CompiledLocations,
  type: CompiledLocations,
): boolean {
  if (row === null) return false
  const marksNothing = signedUrl !== 'none' || row.algorithm === 'sha256'
  const named = [
    ...(marksNothing || settings.id !== undefined ? id : []),
    ...(marksNothing || settings.type !== undefined ? type : []),
  ].flat()
  return named.some(({ from }) => from === 'json') && !named.some(({ from }) => from === 'form')
}
