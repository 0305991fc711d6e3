/** What a checkpoint and the tail of the topic give, against what was committed (D1, N5). */
import assert from 'node:assert/strict'
import type { Claim } from '@sallyport/processor/claim'
import { ClaimStore } from '@sallyport/processor/claim-store'
import { ClaimsBudget } from '@sallyport/processor/claims-budget'
import fc from 'fast-check'

const IDS = 200
const NOW = 1_700_000_000_000
const WINDOW_MS = 86_400_000

/** A record of the claims topic. */
interface Written {
  readonly eventId: string
  readonly claim: Claim | null
}

const written = fc.record({
  eventId: fc.nat({ max: IDS - 1 }).map(id => `crm/${id}`),
  claim: fc.option(
    fc.record({
      state: fc.constantFrom('PENDING' as const, 'DONE' as const, 'DEAD' as const),
      generation: fc.nat({ max: 3 }),
      attempt: fc.integer({ min: 1, max: 9 }),
      windowMs: fc.constant(WINDOW_MS),
      at: fc.constant(NOW),
    }),
    { freq: 12 },
  ),
})

function file(store: ClaimStore, { eventId, claim }: Written): void {
  if (claim === null) store.delete(eventId)
  else store.set(eventId, claim, NOW)
}

function emptyStore(saved?: ConstructorParameters<typeof ClaimStore>[1]): ClaimStore {
  return new ClaimStore(new ClaimsBudget(1e9, () => {}), saved)
}

/** Saves while `between` is filed, one record after each part. */
function save(store: ClaimStore, parts: Map<string, Buffer>, between: readonly Written[]): void {
  for (const id of parts.keys()) if (id.startsWith('pending/')) parts.delete(id)
  const rest = [...between]
  for (const [id, data] of store.parts(store.takeChanged())) {
    parts.set(id, Buffer.from(data))
    const next = rest.shift()
    if (next !== undefined) file(store, next)
  }
  for (const next of rest) file(store, next)
}

function reopened(store: ClaimStore, parts: ReadonlyMap<string, Buffer>): ClaimStore {
  const saved = new Map(parts)
  return emptyStore({
    hashKey: store.hashKey,
    parts: Object.fromEntries([...saved].map(([id, { length }]) => [id, { bytes: length }])),
    part: id => saved.get(id) as Buffer,
  })
}

function assertSame(store: ClaimStore, whole: ClaimStore): void {
  for (let id = 0; id < IDS; id++) {
    const found = store.get(`crm/${id}`, NOW)
    assert.deepEqual(standing(found), standing(whole.get(`crm/${id}`, NOW)), `crm/${id}`)
  }
  assert.deepEqual(textOf(store.pending), textOf(whole.pending))
}

describe('a checkpoint', function () {
  this.timeout(120_000)

  it('with the tail of the topic says what the whole topic says, also when claims come while it is saved', () => {
    const list = fc.array(written, { maxLength: 300, size: 'max' })
    const loads = fc.array(fc.boolean(), { maxLength: 60 })
    fc.assert(
      fc.property(list, list, list, list, loads, (first, during, second, tail, loadsBetween) => {
        const store = emptyStore()
        const parts = new Map<string, Buffer>()
        for (const one of first) file(store, one)
        save(store, parts, during)
        for (const one of second) file(store, one)
        // The second checkpoint saves what has changed; its offset is before what comes while it is saved.
        save(store, parts, tail)
        const restarted = reopened(store, parts)
        for (const [i, one] of tail.entries()) {
          if (loadsBetween[i]) restarted.loadNext()
          file(restarted, one)
        }
        // The restarted one saves what has changed since, before all of the first one's parts are in memory.
        save(restarted, parts, [])
        const restartedAgain = reopened(restarted, parts)
        const whole = emptyStore()
        for (const one of [...first, ...during, ...second, ...tail]) file(whole, one)
        assertSame(restarted, whole)
        assertSame(restartedAgain, whole)
      }),
      { numRuns: 40 },
    )
  })
})

function standing(claim: ReturnType<ClaimStore['get']>) {
  return claim && [claim.state, claim.generation, claim.attempt]
}

function textOf(pending: ClaimStore['pending']): string[] {
  return [...pending].map(entry => JSON.stringify(entry)).sort()
}
