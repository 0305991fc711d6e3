import assert from 'node:assert/strict'
import { SallyportError } from '@sallyport/core/errors'
import { Fatal, RetryLater } from '@sallyport/processor'
import { decide } from '@sallyport/processor/decide'
import { crashFailure, type Failure, failureOf, timeoutFailure } from '@sallyport/processor/failure'

const delaysMs = [5_000, 30_000, 300_000]

function outcomeOf(thrown: unknown, attempt: number) {
  return decide({ kind: 'failed', failure: failureOf(thrown) }, { generation: 0, attempt }, delaysMs)
}

describe('what follows from an attempt', () => {
  it('success is processed, with its outputs', () => {
    assert.deepEqual(decide({ kind: 'succeeded', outputs: [] }, { generation: 0, attempt: 1 }, delaysMs), {
      kind: 'processed',
      outputs: [],
    })
  })

  for (const [attempt, tier] of [
    [1, 0],
    [2, 1],
    [3, 2],
  ] as const) {
    it(`failed attempt ${attempt} goes to tier ${tier + 1}`, () => {
      const outcome = outcomeOf(new Error('no'), attempt)
      assert.equal(outcome.kind === 'retry' && outcome.tier, tier)
    })
  }

  it('the attempt after the last tier goes to the dead letter as exhausted', () => {
    const outcome = outcomeOf(new Error('no'), 4)
    assert.equal(outcome.kind === 'dead' && outcome.reason, 'exhausted')
  })

  it('the third attempt that ended its process is the last, whatever retries are left', () => {
    const failure = crashFailure({ kind: 'retryable', message: 'no' })
    const kinds = [0, 1, 2].map(crashes => {
      const outcome = decide({ kind: 'failed', failure }, { generation: 0, attempt: 1 }, delaysMs, crashes)
      return outcome.kind === 'dead' ? outcome.reason : outcome.kind
    })
    assert.deepEqual(kinds, ['retry', 'retry', 'crashed'])
  })

  it('without tiers the first failure is the last', () => {
    const outcome = decide(
      { kind: 'failed', failure: failureOf(new Error('no')) },
      { generation: 0, attempt: 1 },
      [],
    )
    assert.equal(outcome.kind, 'dead')
  })

  it('Fatal goes to the dead letter at once', () => {
    const outcome = outcomeOf(new Fatal('never'), 1)
    assert.equal(outcome.kind === 'dead' && outcome.reason, 'fatal')
  })

  it('an emitted record that its topic does not take is fatal', () => {
    assert.equal(outcomeOf(new SallyportError('SP_EMIT', 'no'), 1).kind, 'dead')
  })

  for (const [delay, tier] of [
    ['1s', 0],
    ['5s', 0],
    ['6s', 1],
    ['2m', 2],
    ['1h', 2],
  ] as const) {
    it(`RetryLater(${delay}) picks tier ${tier + 1}`, () => {
      const outcome = outcomeOf(new RetryLater(delay), 1)
      assert.equal(outcome.kind === 'retry' && outcome.tier, tier)
    })
  }

  it('RetryLater counts as an attempt: it cannot go round for ever', () => {
    assert.equal(outcomeOf(new RetryLater('1s'), 4).kind, 'dead')
  })
})

describe('what a thrown value means', () => {
  const thrown: [string, unknown][] = [
    ['a string', 'oh'],
    ['undefined', undefined],
    ['null', null],
    ['an object without a message', {}],
    ['an error whose message has line breaks', new Error('a\nb')],
    ['an object without a prototype', Object.create(null)],
    [
      'an object whose toString throws',
      {
        toString() {
          throw new Error('no')
        },
      },
    ],
    ['a symbol', Symbol('s')],
    [
      'an object whose getters throw',
      {
        get name() {
          throw new Error('no')
        },
        get cause() {
          throw new Error('no')
        },
      },
    ],
  ]
  for (const [what, value] of thrown) {
    it(`${what} is a retryable failure with a one-line message`, () => {
      const failure: Failure = failureOf(value)
      assert.equal(failure.kind, 'retryable')
      assert.ok(!failure.message.includes('\n'))
    })
  }

  it('a time-out, a failed connection, 429 and 5xx blame a dependency; an error that says nothing blames none', () => {
    const refused = new TypeError('fetch failed', { cause: { code: 'ECONNREFUSED' } })
    const statuses = [429, 500, 503].map(status => Object.assign(new Error('no'), { status }))
    const blaming = [timeoutFailure(1_000), ...[refused, ...statuses].map(error => failureOf(error))]
    for (const failure of [...blaming, failureOf(new Error('no')), failureOf({ status: 404 })]) {
      assert.equal(failure.kind, 'retryable')
      assert.equal(failure.blamesDependency, blaming.includes(failure))
    }
  })

  it('a processor names what counts as an outage, and what does not', () => {
    assert.equal(failureOf(new RangeError('no'), { RangeError: 'outage' }).blamesDependency, true)
    assert.equal(failureOf({ code: 'ECONNREFUSED' }, { ECONNREFUSED: 'retry' }).blamesDependency, false)
    assert.equal(failureOf(new Error('no'), { unknown: 'outage' }).blamesDependency, true)
  })

  it('what the handler decides by itself blames no dependency; a downstream’s Retry-After does', () => {
    assert.equal(failureOf(new Fatal('no')).blamesDependency, false)
    assert.equal(failureOf(new RetryLater('1s')).blamesDependency, false)
    const pushback = RetryLater.fromResponse(new Response(null, { status: 503 }), '2s')
    assert.ok(pushback instanceof RetryLater)
    assert.equal(failureOf(pushback).blamesDependency, true)
  })

  describe('a processor’s own rules', () => {
    const rules = { TypeError: 'fatal', '404': 'fatal', EPIPE: 'fatal', timeout: 'fatal' } as const
    const withCause = new Error('fetch failed', {
      cause: Object.assign(new Error('gone'), { code: 'EPIPE' }),
    })
    const cases: [string, unknown, Failure['kind']][] = [
      ['an error name', new TypeError('no'), 'fatal'],
      ['a status', Object.assign(new Error('no'), { status: 404 }), 'fatal'],
      ['the status of a response', Object.assign(new Error('no'), { response: { status: 404 } }), 'fatal'],
      ['the code of a cause', withCause, 'fatal'],
      ['none of them', new RangeError('no'), 'retryable'],
      ['a name that objects have by nature', { name: 'constructor' }, 'retryable'],
    ]
    for (const [what, thrown, kind] of cases) {
      it(`${what}: ${kind}`, () => assert.equal(failureOf(thrown, rules).kind, kind))
    }

    it('the outer error’s rule wins over its cause’s', () => {
      const error = new TypeError('no', { cause: { code: 'EPIPE' } })
      assert.equal(failureOf(error, { TypeError: 'retry', EPIPE: 'fatal' }).kind, 'retryable')
    })

    it('time-outs and unknown errors have names of their own', () => {
      const failure = timeoutFailure(1_000, rules)
      assert.deepEqual([failure.kind, failure.code], ['fatal', 'SP_HANDLER_TIMEOUT'])
      const unknown = failureOf('oh', { unknown: 'fatal' })
      assert.deepEqual([unknown.kind, unknown.code], ['fatal', 'SP_HANDLER_FATAL'])
    })

    it('what is said on purpose stands: Fatal and RetryLater are not overruled', () => {
      assert.equal(failureOf(new Fatal('no'), { Fatal: 'retry', unknown: 'retry' }).kind, 'fatal')
      assert.equal(failureOf(new RetryLater('1s'), { RetryLater: 'fatal' }).kind, 'retryable')
    })
  })

  it('a message is cut, so that headers keep within the headroom', () => {
    assert.equal(failureOf(new Error('x'.repeat(1e6))).message.length, 1_000)
  })
})
