import assert from 'node:assert/strict'
import { checkOptions } from '../../../services/subscriber/src/options.ts'

describe('a subscriber’s session', () => {
  const checked = (sessionTimeoutMs: number) =>
    checkOptions({
      brokers: ['127.0.0.1:9'],
      registry: { url: 'http://127.0.0.1:9' },
      groupId: 'mine',
      topics: ['sallyport.events'],
      schema: 'event.v1',
      sessionTimeoutMs,
      handler() {},
    })

  it('lasts from a second to half an hour', () => {
    for (const ms of [1_000, 1_800_000]) assert.equal(checked(ms).sessionTimeoutMs, ms)
  })

  for (const ms of [0, 999, 1_800_001, Number.NaN]) {
    it(`of ${ms} ms is refused`, () => {
      assert.throws(() => checked(ms), {
        code: 'SP_SETTINGS',
        message: new RegExp(`sessionTimeoutMs has ${ms}: set a whole number from 1000 to 1800000$`),
      })
    })
  }
})
