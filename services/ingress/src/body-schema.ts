/**
 * The JSON Schema that a source may set for its bodies: compiled at the start, asked after the proof. A genuine body
 * may still be long and odd, so whatever a schema asks takes a time that grows with the body's length alone:
 *
 * - patterns are matched by RE2, which does not go back in the text, and over `patternCharsMax` characters of a body
 *   in all;
 * - `uniqueItems` gives equal values one number, instead of comparing each with each.
 */
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import { Ajv2020 } from 'ajv/dist/2020.js'
import type { RegExpEngine } from 'ajv/dist/types/index.js'
import { RE2JS } from 're2js'
import { areUnique, Numbering } from './unique-items.ts'

/** What a parsed body lacks, in words of the schema alone (nothing of the body), or null. Never throws. */
export type BodySchema = (body: unknown) => string | null

/** How many characters of a body patterns may look at, by default. */
export const PATTERN_CHARS_MAX = 262_144

/** What the validation of one body may and did do. */
interface Work {
  /** How many characters patterns may still look at. */
  chars: number
  numbering: Numbering
}

/** Thrown within a validation whose patterns have looked at enough. */
class PatternsSpent extends Error {}

/** Compiles a schema (draft 2020-12); throws `SP_SETTINGS` naming the setting. */
export function compileBodySchema(
  schema: object,
  setting: string,
  patternCharsMax = PATTERN_CHARS_MAX,
): BodySchema {
  if (Object.hasOwn(schema, '$async'))
    throw new SallyportError('SP_SETTINGS', `${setting} must not be $async: remove it`)
  const work: Work = { chars: 0, numbering: new Numbering() }
  const validate = compile(schema, setting, work)
  return body => {
    work.chars = patternCharsMax
    try {
      if (validate(body)) return null
    } catch (error) {
      if (error instanceof PatternsSpent)
        return `The patterns of bodySchema would look at more than ${patternCharsMax} characters (patternCharsMax).`
      return 'The body is nested too deeply for bodySchema.'
    } finally {
      // It holds the whole body.
      work.numbering = new Numbering()
    }
    const [error] = validate.errors ?? []
    return `The body does not fit bodySchema: ${error?.schemaPath} ${error?.message}.`
  }
}

function compile(schema: object, setting: string, work: Work) {
  const regExp = linearPatterns(work)
  const ajv = new Ajv2020({ strictTypes: false, strictTuples: false, logger: false, code: { regExp } })
  ajv.removeKeyword('uniqueItems')
  ajv.addKeyword({
    keyword: 'uniqueItems',
    type: 'array',
    schemaType: 'boolean',
    compile: (isAsked: boolean) => (items: readonly unknown[]) =>
      !isAsked || areUnique(items, work.numbering),
    error: { message: 'must NOT have duplicate items' },
  })
  try {
    return ajv.compile(schema)
  } catch (error) {
    throw new SallyportError(
      'SP_SETTINGS',
      `${setting} is no JSON Schema of draft 2020-12 (${errorMessage(error)}): correct it`,
      { cause: error },
    )
  }
}

/** RE2 in place of JavaScript's patterns: what it cannot do (look-around, back-references) is refused at the start. */
function linearPatterns(work: Work): RegExpEngine {
  const engine = (pattern: string) => {
    const compiled = RE2JS.compile(RE2JS.translateRegExp(pattern))
    return {
      test(text: string): boolean {
        work.chars -= text.length
        if (work.chars < 0) throw new PatternsSpent()
        return compiled.test(text)
      },
      // ajv tells patterns apart by this.
      toString: () => pattern,
    }
  }
  // Only code that ajv writes out would need it.
  return Object.assign(engine, { code: 'linearPatterns' })
}
