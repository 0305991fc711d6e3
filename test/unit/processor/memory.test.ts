import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Settings } from '@sallyport/core/settings'
import { ClaimsBudget } from '@sallyport/processor/claims-budget'
import { ProcessMemory } from '@sallyport/processor/memory'
import { memoryLimits } from '@sallyport/processor/memory-limits'

const QUEUED = fileURLToPath(new URL('../../support/queued-memory.ts', import.meta.url))
const MIB = 2 ** 20
const GIB = 2 ** 30

async function held(what: 'tier' | 'queues'): Promise<Record<string, number>> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--no-warnings', QUEUED, what])
  return JSON.parse(stdout)
}

describe('the memory of a process with processors', function () {
  this.timeout(120_000)

  it('a record that waits keeps its own bytes in memory, and not its fetch', async () => {
    // Setup: 200 fetches of a MiB each. Timeline: of each one record goes into a tier, the others are done with. Proves:
    // it holds about what it counts for. It was 204 MiB that counted as 0.3.
    const { held: mib, counted } = (await held('tier')) as { held: number; counted: number }
    assert.ok(mib <= 1.5 * counted + 1, `${mib.toFixed(1)} MiB are held, counted as ${counted.toFixed(1)}`)
  })

  it('queues of 120 tasks that are full stay within the budget together, and none is empty (K5, K6)', async () => {
    // Proves it by what the process holds: small records by their objects, large ones by their bytes.
    const { held: mib, budget, empty } = (await held('queues')) as Record<string, number>
    assert.equal(empty, 0)
    assert.ok((mib as number) <= (budget as number), `${mib?.toFixed(1)} MiB are held of ${budget}`)
    assert.ok((mib as number) > 5, `only ${mib?.toFixed(1)} MiB are held`)
  })

  it('leaves records what claims do not take, and a fifth at least (K4)', () => {
    const claims = new ClaimsBudget(1_000, () => {})
    const memory = new ProcessMemory(claims, 1_000, 800)
    assert.equal(memory.attemptsMax(1), 100)
    claims.add(600)
    assert.equal(memory.attemptsMax(1), 50)
    claims.add(5_000)
    assert.equal(memory.attemptsMax(2), 12.5)
  })

  it('a task that has ended gives its part back', () => {
    const memory = new ProcessMemory(new ClaimsBudget(1, () => {}), 8_000)
    const one = memory.join(5)
    const alone = one.queueRoom(0, true)
    const other = memory.join(5)
    assert.equal(one.queueRoom(0, true), alone / 2)
    other.queue(1_500)
    other.leave()
    other.queue(-1_500)
    assert.equal(one.queueRoom(0, true), alone)
    assert.equal(one.queueRoom(0, false), 2_000)
  })

  describe('follows from the machine', () => {
    const machine = { memoryBytes: 2.5 * GIB, heapBytes: GIB }

    function limits(processing: Partial<Settings['processing']>) {
      return memoryLimits({ file: 'sallyport.yaml', processing } as unknown as Settings, machine)
    }

    it('half of the memory, of which claims take a GiB, or four fifths where that is less', () => {
      assert.deepEqual(limits({}), { bytesMax: 1.25 * GIB, recordsBytesMax: GIB / 2, claimsBytesMax: GIB })
      assert.equal(limits({ memoryBytesMax: 100 * MIB }).claimsBytesMax, 80 * MIB)
    })

    it('as much as the claims need that the settings ask for', () => {
      assert.equal(limits({ claimsBytesMax: 4 * GIB }).bytesMax, 5 * GIB)
    })

    it('settings that leave records nothing are refused', () => {
      assert.throws(() => limits({ memoryBytesMax: 100 * MIB, claimsBytesMax: 90 * MIB }), {
        code: 'SP_SETTINGS',
        message: /claimsBytesMax is 94371840, more than four fifths .* raise memoryBytesMax to 117964800/,
      })
    })
  })
})
