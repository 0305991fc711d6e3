import assert from 'node:assert/strict'
import { Emitted } from '@sallyport/processor/emitted'
import { type Output, outputBytes } from '@sallyport/processor/outputs'

function outputTo(partition: number, bytes = 1): Output {
  return { topic: 'out', partition, key: Buffer.from('k'), value: Buffer.alloc(bytes), type: 't' }
}

describe('what an attempt has emitted', () => {
  const limits = {
    recordBytesMax: 1e6,
    emitBytesMax: 3 * outputBytes(outputTo(0)),
    transactionPartitionsMax: 2,
  }

  it('goes to as many partitions as one transaction may write to, and no more', () => {
    const emitted = new Emitted(limits)
    emitted.add(outputTo(0))
    emitted.add(outputTo(1))
    assert.throws(() => emitted.add(outputTo(2)), { code: 'SP_EMIT' })
    // What was refused counts for nothing: a handler that catches it may go on within the limits.
    emitted.add(outputTo(1))
    assert.deepEqual(
      emitted.outputs.map(({ partition }) => partition),
      [0, 1, 1],
    )
  })

  it('has as many bytes as it may, and no more', () => {
    const emitted = new Emitted(limits)
    emitted.add(outputTo(0))
    assert.throws(() => emitted.add(outputTo(0, 1_000)), { code: 'SP_EMIT' })
    emitted.add(outputTo(0))
    emitted.add(outputTo(0))
    assert.throws(() => emitted.add(outputTo(0)), { code: 'SP_EMIT' })
    assert.equal(emitted.outputs.length, 3)
  })
})
