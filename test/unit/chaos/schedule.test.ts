import assert from 'node:assert/strict'
import { endlessSteps, type Step, scheduleOf, stepName } from '../../chaos/processor/schedule.ts'

const NAMES = [
  'abort-start',
  'broker',
  'broker-freeze',
  'broker-hang',
  'clock',
  'coordinator freeze',
  'coordinator kill',
  'ending freeze',
  'ending kill',
  'fault',
  'freeze',
  'hang',
  'join',
  'kill',
  'leader freeze',
  'leader kill',
  'redrive',
  'registry',
  'requests',
  'rolling',
  'terminate',
]
const SEEDS = Array.from({ length: 50 }, (_, i) => i * 7_919 + 1)
const names = (steps: readonly Step[]) => [...new Set(steps.map(stepName))].sort()

describe('a schedule of chaos', () => {
  it('has every kind of step, whatever the seed', () => {
    for (const seed of SEEDS) assert.deepEqual(names(scheduleOf(seed, false)), NAMES)
  })

  it('strikes coordinators and leaders in the short form too, between EndTxn and its markers both ways', () => {
    for (const seed of SEEDS) {
      const short = names(scheduleOf(seed, true))
      assert.ok(short.includes('ending freeze') && short.includes('ending kill'))
      assert.ok(short.some(name => name.startsWith('coordinator')))
      assert.ok(short.some(name => name.startsWith('leader')))
    }
  })

  it('follows from its seed', () => {
    assert.deepEqual(scheduleOf(3, false), scheduleOf(3, false))
    assert.notDeepEqual(scheduleOf(3, false), scheduleOf(4, false))
  })

  it('goes on with steps of every kind that comes by chance', () => {
    const steps = endlessSteps(1)
    const drawn = names(Array.from({ length: 500 }, () => steps.next().value))
    const left = NAMES.filter(name => name !== 'fault' && name !== 'rolling')
    assert.deepEqual(drawn, left)
  })
})
