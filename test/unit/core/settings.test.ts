import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { loadSettings, type Settings } from '@sallyport/core/settings'
import YAML from 'yaml'

const SCHEMA = new URL('../../../schemas/sallyport.schema.json', import.meta.url)
const DURATION = '#/definitions/duration'

interface SchemaNode {
  readonly $ref?: string
  readonly description?: string
  readonly properties?: Readonly<Record<string, SchemaNode>>
}

/** Setting → what the JSON Schema says of it, for each duration; processors check their own. */
function durations(node: SchemaNode, place: readonly string[] = []): [string, string][] {
  if (node.$ref === DURATION) return [[place.join('.'), node.description ?? '']]
  return Object.entries(node.properties ?? {}).flatMap(([name, child]) => durations(child, [...place, name]))
}

describe('durations in settings', () => {
  function settings(values: Readonly<Record<string, string>>): Settings {
    const document: Record<string, unknown> = {
      sources: { any: { preset: 'github', secrets: ['${env:X}'] } },
    }
    for (const [setting, value] of Object.entries(values)) {
      const [section = '', name] = setting.split('.')
      if (name === undefined) document[section] = value
      else document[section] = { ...(document[section] as object), [name]: value }
    }
    const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-settings-'))
    try {
      const file = path.join(folder, 'sallyport.yaml')
      writeFileSync(file, YAML.stringify(document))
      return loadSettings(file, {})
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }

  /** Setting → the shortest, the longest, and what is refused. */
  const LIMITS: Record<string, [min: string, max: string, refused: readonly string[]]> = {
    window: ['1s', '365d', ['0s', '999ms', '366d']],
    'topics.deadLetterRetention': ['1m', '3650d', ['0s', '59s', '3651d']],
    'ingress.headerTimeout': ['100ms', '1h', ['0s', '99ms', '61m']],
    'ingress.answerTimeout': ['100ms', '1h', ['99ms', '61m']],
    'ingress.connectionAgeMax': ['1s', '365d', ['999ms', '366d']],
    'ingress.bodyTimeout': ['100ms', '1h', ['0s', '99ms', '25d']],
    'ingress.keepAliveTimeout': ['100ms', '1d', ['0s', '99ms', '25d']],
    'ingress.publishTimeout': ['100ms', '10m', ['0s', '99ms', '25d']],
    'ingress.retryAfter': ['1s', '1d', ['0s', '2d']],
    'ingress.drainTimeout': ['0s', '1d', ['25d']],
    'processing.sessionTimeout': ['1s', '30m', ['0s', '999ms', '31m']],
    'processing.transactionTimeout': ['1s', '15m', ['0s', '999ms', '16m']],
    'processing.lagInterval': ['100ms', '1d', ['0s', '99ms', '25d']],
    'processing.stableOffsetStall': ['1s', '1d', ['0s', '25d']],
    'processing.schemaDoubt': ['0s', '1h', ['61m']],
    'processing.holdBackFor': ['1s', '1d', ['0s', '999ms', '25d']],
    'processing.holdBackForMax': ['1s', '1d', ['0s', '999ms', '25d']],
    'processing.drainTimeout': ['0s', '1d', ['25d']],
    'processing.hangTimeout': ['1s', '1d', ['0s', '999ms', '25d']],
    'processing.checkpointInterval': ['1s', '6h', ['0s', '999ms', '13h']],
  }

  it('have limits, every one of them', () => {
    const schema = durations(JSON.parse(readFileSync(SCHEMA, 'utf8')))
    assert.deepEqual(schema.map(([setting]) => setting).sort(), Object.keys(LIMITS).sort())
    for (const [setting, description] of schema) {
      const [min, max] = LIMITS[setting] ?? []
      assert.ok(description.includes(` From ${min} to ${max}`), `${setting}: ${description}`)
    }
  })

  for (const [setting, [min, max, refused]] of Object.entries(LIMITS)) {
    it(`${setting} is taken from ${min} to ${max}, and refused beyond`, () => {
      // The headers' limit may not be the longer one.
      const rest = { 'ingress.headerTimeout': '100ms', 'ingress.bodyTimeout': '1h' }
      for (const value of [min, max]) settings({ ...rest, [setting]: value })
      for (const value of refused) {
        assert.throws(() => settings({ ...rest, [setting]: value }), {
          code: 'SP_SETTINGS',
          message: new RegExp(`sallyport\\.yaml: ${setting} is ${value}: set it from ${min} to ${max}$`),
        })
      }
    })
  }
})
