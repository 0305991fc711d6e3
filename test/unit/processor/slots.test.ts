import assert from 'node:assert/strict'
import { Slots } from '@sallyport/processor/slots'

describe('slots', () => {
  it('hands a slot that comes free to the task that waited longest', () => {
    const slots = new Slots(1)
    const woken: string[] = []
    assert.equal(
      slots.take(() => {}),
      true,
    )
    assert.equal(
      slots.take(() => woken.push('a') && slots.take(() => {})),
      false,
    )
    assert.equal(
      slots.take(() => woken.push('b') && slots.take(() => {})),
      false,
    )
    slots.give()
    assert.deepEqual(woken, ['a'])
    slots.give()
    assert.deepEqual(woken, ['a', 'b'])
  })

  it('a task that ended while it waited does not swallow another one’s turn', () => {
    const slots = new Slots(1)
    let woken = false
    slots.take(() => {})
    slots.take(() => {}) // It has ended: it takes nothing when woken.
    slots.take(() => {
      woken = true
    })
    slots.give()
    assert.equal(woken, true)
  })
})
