import assert from 'node:assert/strict'
import { evolutionProblems } from 'sallyport/contract/evolution'
import { currentSchemas, releasedSchemas } from 'sallyport/contract/schema-files'

/** Schemas that are newer than the newest release, which may still change at will; the next release empties it. */
const UNRELEASED: readonly string[] = ['source-secret.v1']

interface Field {
  name: string
  type: unknown
  default?: unknown
}
interface Schema {
  fields: Field[]
}

/** The current schemas with one of them changed. */
function changed(name: string, change: (schema: Schema) => void): ReadonlyMap<string, string> {
  const schemas = new Map(currentSchemas())
  const schema = JSON.parse(schemas.get(name) as string) as Schema
  change(schema)
  return schemas.set(name, JSON.stringify(schema))
}

function problems(name: string, change: (schema: Schema) => void): string[] {
  return evolutionProblems(changed(name, change), releasedSchemas())
}

describe('the evolution of the schemas', () => {
  it('the current schemas keep every promise that was ever released', () => {
    assert.ok(releasedSchemas().size > 0)
    assert.deepEqual(evolutionProblems(currentSchemas(), releasedSchemas()), [])
  })

  it('every schema is in the newest release, or said to be newer', () => {
    const newest = [...releasedSchemas().values()].at(-1) as ReadonlyMap<string, string>
    assert.deepEqual([...newest.keys(), ...UNRELEASED].sort(), [...currentSchemas().keys()])
  })

  it('a field that is added with a default is no problem', () => {
    assert.deepEqual(
      problems('event.v1', ({ fields }) => fields.push({ name: 'tenant', type: 'string', default: '' })),
      [],
    )
  })

  it('a field that is added without a default is named, with the version and what to do', () => {
    const [problem, ...rest] = problems('event.v1', ({ fields }) =>
      fields.push({ name: 'tenant', type: 'string' }),
    )
    assert.match(
      problem as string,
      /^event\.v1 cannot read what 0\.1\.0 wrote .*tenant.*give new fields a default/,
    )
    assert.deepEqual(rest, [])
  })

  it('a field of another type is a problem for both sides', () => {
    const found = problems('agent-event.v1', ({ fields }) => {
      const field = fields.find(({ name }) => name === 'status') as Field
      field.type = 'int'
    })
    assert.equal(found.length, 2)
  })

  it('a field without a default that goes away breaks the subscribers that were built before', () => {
    const [problem, ...rest] = problems('agent-event.v1', ({ fields }) => fields.splice(1, 1))
    assert.match(
      problem as string,
      /subscribers built against agent-event\.v1 of 0\.1\.0 .*agentId.*agent-event\.v2/,
    )
    assert.deepEqual(rest, [])
  })

  it('a schema that only the pipeline reads may lose a field', () => {
    assert.deepEqual(
      problems('claim.v1', ({ fields }) => fields.splice(3, 1)),
      [],
    )
  })

  it('a released schema cannot be taken away', () => {
    const schemas = new Map(currentSchemas())
    schemas.delete('event.v1')
    assert.match(evolutionProblems(schemas, releasedSchemas()).join(), /event\.v1 of 0\.1\.0 is gone/)
  })

  it('every earlier version counts, not only the last', () => {
    const [[version, schemas]] = [...releasedSchemas()] as [[string, ReadonlyMap<string, string>]]
    const wider = changed('event.v1', ({ fields }) =>
      fields.push({ name: 'tenant', type: 'string', default: '' }),
    )
    const versions = new Map([
      [version, schemas],
      ['0.2.0', wider],
    ])
    const withoutDefault = changed('event.v1', ({ fields }) =>
      fields.push({ name: 'tenant', type: 'string' }),
    )
    assert.equal(evolutionProblems(withoutDefault, new Map([['0.2.0', wider]])).length, 0)
    assert.match(evolutionProblems(withoutDefault, versions).join(), /what 0\.1\.0 wrote/)
  })
})
