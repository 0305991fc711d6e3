import type { AvroSchema } from '@sallyport/core/codec'
import { createRegistry, type SchemaRegistry, type SchemaStanding } from '@sallyport/core/kafka/registry'
import { loadSettings } from '@sallyport/core/settings'
import { EXIT } from '../exit.ts'
import { connectionOf } from '../kafka-options.ts'
import { print, printDocument, table } from '../output.ts'
import { provisionOf } from '../provision-of.ts'
import type { SetupOptions } from '../setup-options.ts'

interface Standing {
  readonly subject: string
  readonly schema: string
  readonly state: SchemaStanding['kind']
  readonly id: number | null
  /** The registry's words, where it refuses the schema. */
  readonly reason: string | null
}

const WORDS: Readonly<Record<SchemaStanding['kind'], string>> = {
  new: 'would be registered as the first version',
  registered: 'is registered',
  compatible: 'would be registered as a new version',
  incompatible: 'is refused: make the change backward compatible (give new fields a default)',
}

/** `sallyport schemas check`. */
export async function checkSchemas(options: SetupOptions): Promise<void> {
  const { registry, subjects } = await prepare(options)
  const standings = await Promise.all(
    subjects.map(async ([subject, schema]) =>
      standing(subject, schema, await registry.check(subject, schema)),
    ),
  )
  await report(standings, options.json)
  if (standings.some(({ state }) => state === 'incompatible')) process.exitCode = EXIT.findings
}

/** `sallyport schemas register`. */
export async function registerSchemas(options: SetupOptions): Promise<void> {
  const { registry, subjects } = await prepare(options)
  const standings = await Promise.all(
    subjects.map(async ([subject, schema]) =>
      standing(subject, schema, { kind: 'registered', id: await registry.register(subject, schema) }),
    ),
  )
  await report(standings, options.json)
}

async function prepare(
  options: SetupOptions,
): Promise<{ registry: SchemaRegistry; subjects: [string, AvroSchema][] }> {
  const settings = loadSettings(options.config, process.env)
  const registry = createRegistry(connectionOf(options, process.env).registryUrl)
  return { registry, subjects: Object.entries((await provisionOf(settings)).schemas) }
}

function standing(subject: string, schema: AvroSchema, found: SchemaStanding): Standing {
  return {
    subject,
    schema: schema.name,
    state: found.kind,
    id: found.kind === 'registered' ? found.id : null,
    reason: found.kind === 'incompatible' ? found.reason : null,
  }
}

async function report(standings: readonly Standing[], json: boolean): Promise<void> {
  if (json) return await printDocument(standings)
  const rows = standings.map(({ subject, schema, state, id, reason }) => [
    subject,
    schema,
    [
      WORDS[state],
      ...(id === null ? [] : [`under id ${id}`]),
      ...(reason === null ? [] : [`(${reason})`]),
    ].join(' '),
  ])
  for (const line of table(['subject', 'schema', 'state'], rows)) await print(line)
}
