import assert from 'node:assert/strict'
import { Slots, type TaskSlots } from '@sallyport/processor/slots'

describe('slots', () => {
  /** A task that takes one slot whenever it is woken. */
  function task(slots: Slots, onTake: () => void = () => {}): TaskSlots {
    const own = slots.join(() => {
      if (own.take()) onTake()
    })
    return own
  }

  it('a slot that comes free goes to the task that waited longest (K1)', () => {
    const slots = new Slots(1, () => 1_000)
    const woken: string[] = []
    const holder = task(slots)
    const first = task(slots, () => woken.push('first'))
    const second = task(slots, () => woken.push('second'))
    assert.equal(holder.take(), true)
    assert.equal(first.take(), false)
    assert.equal(second.take(), false)
    holder.give()
    assert.deepEqual(woken, ['first'])
    first.give()
    assert.deepEqual(woken, ['first', 'second'])
  })

  it('a task that ended while it waited does not swallow another one’s turn', () => {
    const slots = new Slots(1, () => 1_000)
    const holder = task(slots)
    const ended = slots.join(() => {})
    let woken = false
    const waiting = task(slots, () => {
      woken = true
    })
    holder.take()
    ended.take()
    waiting.take()
    holder.give()
    assert.equal(woken, true)
  })

  it('while the bytes are held only a task that runs nothing may begin another attempt (K2)', () => {
    const slots = new Slots(10, () => 1_000)
    const busy = task(slots)
    const idle = task(slots)
    assert.equal(busy.take(), true)
    busy.hold(1_500)
    assert.equal(busy.take(), false)
    assert.equal(idle.take(), true)
    let woken = false
    const other = slots.join(() => {
      woken = true
    })
    other.leave()
    busy.give(1_500)
    assert.equal(woken, false)
    assert.equal(busy.take(), true)
  })

  it('a partition whose handlers hang leaves a slot to each that runs nothing, up to half of them (K3)', () => {
    const slots = new Slots(10, () => 1_000)
    const hanging = task(slots)
    const others = Array.from({ length: 3 }, () => task(slots))
    let taken = 0
    while (hanging.take()) taken++
    assert.equal(taken, 7)
    for (const other of others) assert.equal(other.take(), true)
    assert.equal(hanging.take(), false)
  })

  it('a single task may use every slot, and one slot is enough for many tasks', () => {
    const alone = task(new Slots(3, () => 1_000))
    assert.deepEqual([alone.take(), alone.take(), alone.take(), alone.take()], [true, true, true, false])
    const one = new Slots(1, () => 1_000)
    const tasks = Array.from({ length: 4 }, () => task(one))
    assert.deepEqual(
      tasks.map(each => each.take()),
      [true, false, false, false],
    )
  })

  it('a task that has ended gives its slots back later, and no slot is kept for it', () => {
    const slots = new Slots(2, () => 1_000)
    const ended = task(slots)
    const going = task(slots)
    ended.take()
    ended.leave()
    ended.give()
    assert.deepEqual([going.take(), going.take(), going.take()], [true, true, false])
  })
})
