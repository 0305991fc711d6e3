import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { Settings } from '@sallyport/core/settings'
import { memoryLimits } from '@sallyport/processor/memory-limits'
import YAML from 'yaml'

const DEPLOY = path.resolve(import.meta.dirname, '../../deploy')

function read(file: string): string {
  return readFileSync(path.join(DEPLOY, file), 'utf8')
}

interface Service {
  readonly mem_limit?: string
  readonly environment?: Readonly<Record<string, string>>
}

function mib(text: string | undefined): number {
  const [, number, unit] = /(\d+)([gm])$/.exec(text ?? '') ?? []
  return Number(number) * (unit === 'g' ? 1_024 : 1)
}

function heapMib(text: string | undefined): number {
  return Number(/--max-old-space-size=(\d+)/.exec(text ?? '')?.[1])
}

describe('what is deployed', () => {
  const { services } = YAML.parse(read('compose.yaml'), { merge: true }) as {
    services: Record<string, Service>
  }

  it('has a limit of memory for every container, and a heap that leaves room below it', () => {
    for (const [name, { mem_limit, environment }] of Object.entries(services)) {
      assert.ok(mib(mem_limit) >= 512, `${name}: ${mem_limit}`)
      const heap = environment?.NODE_OPTIONS
      if (heap !== undefined) assert.ok(heapMib(heap) <= mib(mem_limit) / 2, `${name}: ${heap}`)
    }
    assert.ok(heapMib(services.ingress?.environment?.NODE_OPTIONS) > 0)
    assert.ok(heapMib(services.processor?.environment?.NODE_OPTIONS) > 0)
  })

  it('has room for what the ingress’s settings allow by default', () => {
    const properties = JSON.parse(read('../schemas/sallyport.schema.json')).properties.ingress.properties
    const bodies = (1.5 * properties.inFlightBytesMax.default) / 1_048_576
    const headers = properties.headerBytesMax.default + 100 * properties.headerLinesMax.default
    const connections = (properties.connectionsMax.default * (20 + headers / 1_024)) / 1_024
    const itself = 200
    assert.ok(itself + bodies + connections < mib(services.ingress?.mem_limit))
  })

  it('has room for what the processors’ settings allow by default', () => {
    const MIB = 2 ** 20
    const { mem_limit, environment } = services.processor as Service
    const memory = mib(mem_limit)
    const heap = heapMib(environment?.NODE_OPTIONS)
    const settings = { file: '', processing: {} } as unknown as Settings
    const limits = memoryLimits(settings, { memoryBytes: memory * MIB, heapBytes: heap * MIB })
    assert.equal(limits.claimsBytesMax, 1_024 * MIB)
    const itself = 150
    assert.ok(itself + heap + limits.bytesMax / MIB <= memory)
  })

  it('the image gives every service a heap', () => {
    assert.ok(heapMib(/^ENV NODE_OPTIONS=(.*)$/m.exec(read('Dockerfile'))?.[1]) > 0)
  })
})
