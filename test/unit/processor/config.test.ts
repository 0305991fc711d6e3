import assert from 'node:assert/strict'
import { defineProcessor, type ProcessorDefinition } from '@sallyport/processor'
import { configure } from '@sallyport/processor/config'

describe('what a processor may ask for', () => {
  const configured = (definition: Partial<ProcessorDefinition>) =>
    configure(defineProcessor({ name: 'test', handler() {}, ...definition }), {})

  it('16 tiers and a day for an attempt are the most', () => {
    const { delaysMs, timeoutMs } = configured({ retry: new Array(16).fill('1s'), timeout: '1d' })
    assert.deepEqual([delaysMs.length, timeoutMs], [16, 86_400_000])
  })

  const REFUSED: Record<string, [Partial<ProcessorDefinition>, RegExp]> = {
    '17 tiers': [
      { retry: new Array(17).fill('1s') },
      /^SP_PROCESSOR: test\.retry names 17 delays: at most 16/,
    ],
    'an attempt of 25 days': [{ timeout: '25d' }, /test\.timeout is 25d: set it from 1ms to 1d/],
    'an attempt of no time': [{ timeout: '0s' }, /test\.timeout is 0s: set it from 1ms to 1d/],
  }
  for (const [what, [definition, message]] of Object.entries(REFUSED)) {
    it(`${what} is refused`, () => {
      assert.throws(() => configured(definition), { code: 'SP_PROCESSOR', message })
    })
  }
})
