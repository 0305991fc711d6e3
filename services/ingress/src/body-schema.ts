/** The JSON Schema that a source may set for its bodies: compiled at the start, asked after the proof. */
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import { Ajv2020 } from 'ajv/dist/2020.js'

/** What a parsed body lacks, in words of the schema alone (nothing of the body), or null. Never throws. */
export type BodySchema = (body: unknown) => string | null

/** Compiles a schema (draft 2020-12); throws `SP_SETTINGS` naming the setting. */
export function compileBodySchema(schema: object, setting: string): BodySchema {
  if (Object.hasOwn(schema, '$async'))
    throw new SallyportError('SP_SETTINGS', `${setting} must not be $async: remove it`)
  const validate = compile(schema, setting)
  return body => {
    try {
      if (validate(body)) return null
    } catch {
      return 'The body is nested too deeply for bodySchema.'
    }
    const [error] = validate.errors ?? []
    return `The body does not fit bodySchema: ${error?.schemaPath} ${error?.message}.`
  }
}

function compile(schema: object, setting: string) {
  const ajv = new Ajv2020({ strictTypes: false, strictTuples: false, logger: false })
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
