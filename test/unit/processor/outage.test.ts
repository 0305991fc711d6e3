import assert from 'node:assert/strict'
import { failureOf } from '@sallyport/processor/failure'

/** Whether the breaker counts what was thrown. */
function blames(thrown: unknown): boolean {
  const failure = failureOf(thrown)
  assert.equal(failure.kind, 'retryable')
  return failure.blamesDependency
}

describe('an outage of a dependency', () => {
  for (const status of [408, 425, 429, 500, 501, 502, 503, 504, 507, 511, 520, 524, 529, 530, 599]) {
    it(`status ${status} is one`, () => assert.ok(blames({ status })))
  }

  for (const status of [200, 304, 400, 401, 403, 404, 409, 422, 424, 426, 499, 600]) {
    it(`status ${status} is none`, () => assert.ok(!blames({ status })))
  }

  const PLACES: Readonly<Record<string, object>> = {
    status: { status: 529 },
    'status as text': { status: '529' },
    statusCode: { statusCode: 529 },
    'response.status': { response: { status: 529 } },
    'response.statusCode': { response: { statusCode: 529 } },
    '$metadata.httpStatusCode': { $metadata: { httpStatusCode: 529 } },
    code: { code: 529 },
  }
  for (const [place, error] of Object.entries(PLACES)) {
    it(`is found in ${place}`, () => assert.ok(blames(error)))
    it(`is found in ${place} of a cause`, () => assert.ok(blames(new Error('no', { cause: error }))))
  }

  it('is found among the errors of an aggregate', () => {
    assert.ok(blames(new AggregateError([new Error('no'), { code: 'ETIMEDOUT' }])))
  })

  it('is found in the class of an error that has another name', () => {
    class APIConnectionError extends Error {}
    assert.equal(new APIConnectionError('no').name, 'Error')
    assert.ok(blames(new APIConnectionError('no')))
  })

  it('is found in what gRPC says', () => {
    assert.ok(blames(Object.assign(new Error('14 UNAVAILABLE'), { code: 14, details: 'no connection' })))
    assert.ok(!blames(Object.assign(new Error('5 NOT_FOUND'), { code: 5, details: 'none' })))
    assert.ok(!blames({ code: 14 }))
  })

  it('a processor’s rule for a cause goes before what the error around it says of itself', () => {
    class APIConnectionError extends Error {}
    const thrown = new APIConnectionError('no', { cause: { code: 'ECONNREFUSED' } })
    assert.equal(failureOf(thrown, { ECONNREFUSED: 'fatal' }).kind, 'fatal')
    assert.equal(failureOf(thrown, { APIConnectionError: 'retry' }).blamesDependency, false)
  })

  it('is looked for within bounds: causes that go round, that throw, or that never end', () => {
    const round: { cause?: unknown; errors?: unknown } = {}
    round.cause = round
    round.errors = [round, round]
    assert.ok(!blames(round))
    const throwing = new Proxy(
      {},
      {
        get() {
          throw new Error('no')
        },
      },
    )
    assert.ok(!blames({ cause: throwing, errors: [throwing] }))
    let looks = 0
    const endless = {
      get errors(): object[] {
        looks++
        return Array.from({ length: 10 }, () => Object.create(endless))
      },
    }
    assert.ok(!blames(endless))
    assert.ok(looks < 1_000, `${looks} looks`)
  })
})
