/** The packed claims against a plain map (E1–E3, N1, N3, N4). */
import assert from 'node:assert/strict'
import { type Claim, isExpired } from '@sallyport/processor/claim'
import { ClaimStore, SEGMENTS } from '@sallyport/processor/claim-store'
import { CLAIM_BYTES, ClaimsBudget } from '@sallyport/processor/claims-budget'
import fc from 'fast-check'

const WINDOW_MS = 1_000

type Step =
  | { readonly kind: 'set' | 'decide'; readonly id: number; readonly claim: Omit<Claim, 'at'> }
  | { readonly kind: 'delete'; readonly id: number }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'fill'; readonly count: number }
  | { readonly kind: 'sweep' }

const id = fc.nat({ max: 9 })
const claim = fc.record({
  state: fc.constantFrom('PENDING' as const, 'DONE' as const, 'DEAD' as const),
  generation: fc.oneof(fc.constant(0), fc.nat({ max: 2 ** 31 - 1 })),
  attempt: fc.integer({ min: 1, max: 20 }),
  windowMs: fc.oneof(fc.constant(WINDOW_MS), fc.constant(90 * 86_400_000), fc.nat({ max: 3 * WINDOW_MS })),
})
const steps = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ kind: fc.constantFrom('set' as const, 'decide' as const), id, claim }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), id }) },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.nat({ max: WINDOW_MS }) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('fill' as const), count: fc.nat({ max: 500 }) }),
    },
    { weight: 1, arbitrary: fc.constant({ kind: 'sweep' as const }) },
  ),
  { maxLength: 120, size: 'max' },
)

/** What a store must say, kept the simple way. */
class Model {
  readonly claims = new Map<string, Claim>()
  readonly decided = new Map<string, Claim>()

  get(eventId: string, now: number) {
    const claim = this.decided.get(eventId) ?? this.claims.get(eventId)
    if (claim === undefined || isExpired(claim, now)) return undefined
    const { state, generation, attempt } = claim
    return { state, generation, attempt }
  }

  pending(): string[] {
    return [...this.claims].filter(([, { state }]) => state === 'PENDING').map(([eventId]) => eventId)
  }
}

function apply(step: Step, store: ClaimStore, model: Model, now: number, filled: string[]): void {
  switch (step.kind) {
    case 'decide': {
      const claim = { ...step.claim, at: now }
      store.decide(`crm/${step.id}`, claim)
      model.decided.set(`crm/${step.id}`, claim)
      return
    }
    case 'set': {
      // What was decided is what is filed, unless it comes from the topic.
      const claim = model.decided.get(`crm/${step.id}`) ?? { ...step.claim, at: now }
      store.set(`crm/${step.id}`, claim, now)
      model.decided.delete(`crm/${step.id}`)
      model.claims.set(`crm/${step.id}`, claim)
      return
    }
    case 'delete':
      store.delete(`crm/${step.id}`)
      model.claims.delete(`crm/${step.id}`)
      return
    case 'fill':
      for (let i = 0; i < step.count; i++) {
        const eventId = `fill/${filled.length}`
        const claim: Claim = { state: 'DONE', generation: 0, attempt: 1, windowMs: WINDOW_MS, at: now }
        store.set(eventId, claim, now)
        model.claims.set(eventId, claim)
        filled.push(eventId)
      }
      return
    case 'sweep':
      for (let i = 0; i < SEGMENTS; i++) store.sweepNext(now)
      return
    case 'wait':
  }
}

describe('the packed claims', function () {
  this.timeout(120_000)

  it('say what a plain map says, whatever is set, decided, deleted, expires, grows and is swept', () => {
    fc.assert(
      fc.property(steps, list => {
        const store = new ClaimStore(new ClaimsBudget(1e9, () => {}))
        const model = new Model()
        const filled: string[] = []
        let now = 1_700_000_000_000
        for (const step of list) {
          if (step.kind === 'wait') now += step.ms
          apply(step, store, model, now, filled)
        }
        const ids = [...Array.from({ length: 10 }, (_, i) => `crm/${i}`), ...filled]
        for (const eventId of ids) {
          const found = store.get(eventId, now)
          const { state, generation, attempt } = found ?? {}
          const held = found === undefined ? undefined : { state, generation, attempt }
          assert.deepEqual(held, model.get(eventId, now), eventId)
        }
        assert.deepEqual([...store.pending.keys()].sort(), model.pending().sort())
        for (let i = 0; i < SEGMENTS; i++) store.sweepNext(now)
        const live = [...model.claims.values()].filter(claim => !isExpired(claim, now)).length
        // A PENDING claim hides what the table still holds of its id.
        assert.ok(store.size >= live && store.size <= live + store.pending.size)
      }),
      { numRuns: 100 },
    )
  })

  it('take less memory than they are budgeted with, and keep every id, at each size on the way up', () => {
    const store = new ClaimStore(new ClaimsBudget(1e9, () => {}))
    const claim: Claim = { state: 'DONE', generation: 0, attempt: 1, windowMs: WINDOW_MS, at: 0 }
    const count = 200_000
    for (let i = 0; i < count; i++) {
      store.set(`crm/${i}`, claim, 0)
      if (i >= 10_000 && i % 1_000 === 0) {
        assert.ok(store.bytes / store.size <= CLAIM_BYTES, `${store.bytes / store.size} at ${i}`)
      }
    }
    assert.equal(store.size, count)
    for (let i = 0; i < count; i++) assert.ok(store.get(`crm/${i}`, 0) !== undefined)
    assert.equal(store.get('crm/never', 0), undefined)
  })

  it('are swept and grow a part at a time, so that no call takes long however many there are (N2)', () => {
    const store = new ClaimStore(new ClaimsBudget(1e9, () => {}))
    const count = 64_000
    let growth = 0
    for (let i = 0; i < count; i++) {
      const before = store.bytes
      store.set(`crm/${i}`, { state: 'DONE', generation: 0, attempt: 1, windowMs: WINDOW_MS, at: 0 }, 0)
      growth = Math.max(growth, store.bytes - before)
    }
    assert.ok(growth < store.bytes / SEGMENTS, `a call added ${growth} of ${store.bytes} bytes`)
    for (let swept = 0; swept < SEGMENTS; swept++) {
      const before = store.size
      store.sweepNext(WINDOW_MS)
      assert.ok(before - store.size < (2 * count) / SEGMENTS, `a call swept ${before - store.size} claims`)
    }
    assert.equal(store.size, 0)
  })

  it('do not grow where as much expires as comes (E2)', () => {
    const store = new ClaimStore(new ClaimsBudget(1e9, () => {}))
    const perWindow = 20_000
    let bytes = 0
    for (let i = 0; i < 10 * perWindow; i++) {
      const now = (i * WINDOW_MS) / perWindow
      store.set(`crm/${i}`, { state: 'DONE', generation: 0, attempt: 1, windowMs: WINDOW_MS, at: now }, now)
      if (i === 2 * perWindow) bytes = store.bytes
    }
    assert.ok(store.bytes <= bytes * 1.1, `${store.bytes} bytes after ${bytes}`)
    assert.ok(store.get(`crm/${9 * perWindow + 1}`, 10 * WINDOW_MS - 1) !== undefined)
  })
})
