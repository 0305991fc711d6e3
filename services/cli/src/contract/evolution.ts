/**
 * What a schema may become, judged against every version that was ever released:
 *
 * - backward: what was written under a released schema must stay readable, for as long as retention keeps it. The
 *   registry enforces the same (BACKWARD_TRANSITIVE).
 * - forward, for the schemas that subscribers read: a subscriber is compiled against the version it was built with,
 *   and must read what a newer pipeline writes.
 */
import { type AvroSchema, parseSchema } from '@sallyport/core/codec'
import { errorMessage } from '@sallyport/core/errors'

/** Schemas that only the pipeline reads. */
const INTERNAL: ReadonlySet<string> = new Set(['barrier.v1', 'claim.v1', 'positions.v1'])

type Schemas = ReadonlyMap<string, string>

/** Every rule that the current schemas break, each as a sentence that ends with what to do; empty when all is well. */
export function evolutionProblems(current: Schemas, released: ReadonlyMap<string, Schemas>): string[] {
  return [...released].flatMap(([version, schemas]) =>
    [...schemas].flatMap(([name, text]) => problemsOf(name, version, text, current.get(name))),
  )
}

function problemsOf(name: string, version: string, releasedText: string, currentText?: string): string[] {
  if (currentText === undefined) {
    return [`${name} of ${version} is gone: records under it are still read; put ${name}.avsc back`]
  }
  const released = parseSchema(releasedText)
  const current = parseSchema(currentText)
  const problems: string[] = []
  const backward = readError(current, released)
  if (backward !== undefined) {
    problems.push(
      `${name} cannot read what ${version} wrote (${backward}): give new fields a default, keep the types and names of old ones`,
    )
  }
  const forward = INTERNAL.has(name) ? undefined : readError(released, current)
  if (forward !== undefined) {
    problems.push(
      `subscribers built against ${name} of ${version} cannot read the current one (${forward}): keep its fields; a new enum symbol needs an enum default in the released schema; else make it a ${nextName(name)}`,
    )
  }
  return problems
}

/** Why data of the writer's schema cannot be read as the reader's, or undefined where they can. */
function readError(reader: AvroSchema, writer: AvroSchema): string | undefined {
  try {
    reader.type.createResolver(writer.type)
    return undefined
  } catch (error) {
    return errorMessage(error)
  }
}

/** event.v1 → event.v2 */
function nextName(name: string): string {
  return name.replace(/\d+$/, digits => String(Number(digits) + 1))
}
