import assert from 'node:assert/strict'
import type { InputSpec } from '@sallyport/processor/inputs'
import { lagMs, lagRecords } from '@sallyport/processor/lag'

const events: InputSpec = { topic: 'events', kind: 'events', delayMs: 0 }
const tier: InputSpec = { topic: 'tier', kind: 'retry', delayMs: 5_000 }

function at(spec: InputSpec, position: number, oldestAt?: number) {
  return { spec, partition: 0, position, next: position, oldestAt, now: 60_000 }
}

describe('lag', () => {
  it('in records is the distance to the end, never negative', () => {
    assert.equal(lagRecords(at(events, 10), 25), 15)
    assert.equal(lagRecords(at(events, 30), 25), 0)
  })

  it('does not count the marker behind the last record of a tier; records that are being attempted count', () => {
    assert.equal(lagRecords(at(tier, 10), 11), 0)
    assert.equal(lagRecords(at(events, 10), 11), 1)
    assert.equal(lagRecords(at(tier, 10, 50_000), 11), 1)
  })

  it('in time is the age of the oldest unsettled record; in a tier it begins when that is due', () => {
    assert.equal(lagMs(at(events, 10, 20_000), 0), 40_000)
    assert.equal(lagMs(at(tier, 10, 20_000), 0), 35_000)
    assert.equal(lagMs(at(tier, 10, 58_000), 0), 0)
  })

  it('where nothing was fetched yet it is the time since the input was caught up', () => {
    assert.equal(lagMs(at(events, 10), 45_000), 15_000)
  })
})
