import assert from 'node:assert/strict'
import { EVENT_SCHEMA } from '@sallyport/core/codec'
import { confirmed, type SchemaLookup } from '@sallyport/core/schema-lookup'

describe('a registry that says it has no schema', () => {
  const patience = { times: 3, pauseMs: 1 }

  /** Has the schema from the n-th question on. */
  function registryThatLoads(n: number): { find: SchemaLookup; asked: () => number } {
    let asked = 0
    return { find: async () => (++asked >= n ? EVENT_SCHEMA : undefined), asked: () => asked }
  }

  it('is asked again: it may only just have started', async () => {
    const { find, asked } = registryThatLoads(3)
    assert.equal(await confirmed(find, patience)(1), EVENT_SCHEMA)
    assert.equal(asked(), 3)
  })

  it('is believed when it says so every time', async () => {
    const { find, asked } = registryThatLoads(4)
    assert.equal(await confirmed(find, patience)(1), undefined)
    assert.equal(asked(), 3)
  })

  it('that then does not answer is away, not without the schema', async () => {
    let asked = 0
    const find = async () => {
      if (++asked === 1) return undefined
      throw new Error('away')
    }
    await assert.rejects(confirmed(find, patience)(1), /away/)
  })
})
