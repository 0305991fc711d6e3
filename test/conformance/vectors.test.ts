/**
 * The judged vectors that lie beside a checkout, run by the same code as `sallyport verify --vectors`. Where they
 * are not, the other conformance tests stand alone.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { type Judgement, judge } from '../../services/cli/src/verify/judge.ts'
import type { Vector } from '../../services/cli/src/verify/vector.ts'

interface JudgedVector extends Vector {
  readonly level: 'must' | 'quirk'
  readonly expect: 'accept' | 'reject'
  readonly recommended?: 'accept' | 'reject'
  readonly expect_event?: { readonly id?: string; readonly type?: string }
  readonly expect_response?: {
    readonly status: number
    readonly body?: string
    readonly json?: unknown
    readonly headers?: Readonly<Record<string, string>>
  }
}

const FILE = new URL('../../../shared/providers/vectors.json', import.meta.url)

const vectors: readonly JudgedVector[] = existsSync(FILE) ? JSON.parse(readFileSync(FILE, 'utf8')) : []

/** What makes two vectors the same request to the same source. */
function requestKey({
  provider,
  variant,
  method,
  url,
  headers,
  body_base64,
  config,
  now,
}: JudgedVector): string {
  return JSON.stringify([provider, variant, method, url, headers, body_base64, config, now])
}

const accepted = new Set(
  vectors.filter(vector => vector.level === 'must' && vector.expect === 'accept').map(requestKey),
)

/** A quirk that asks to refuse the very request that another vector demands to accept cannot be followed. */
function contradictsItself(vector: JudgedVector): boolean {
  return vector.level === 'quirk' && vector.recommended === 'reject' && accepted.has(requestKey(vector))
}

/** An expected type that stands nowhere in the request cannot come out of it. */
function isInRequest(text: string, vector: JudgedVector): boolean {
  const body = Buffer.from(vector.body_base64, 'base64').toString('utf8')
  return text
    .split(':')
    .every(part => body.includes(part) || vector.headers.some(([, value]) => value.includes(part)))
}

describe('judged vectors', () => {
  for (const vector of vectors) {
    const wanted = vector.recommended ?? vector.expect
    it(`${vector.id} (${vector.level}): ${wanted}`, async function () {
      if (contradictsItself(vector)) this.skip()
      const judgement = await judge(vector)
      assert.equal(judgement.verdict, wanted, judgement.code)
      checkEvent(vector, judgement)
      checkResponse(vector, judgement)
    })
  }
})

function checkEvent(vector: JudgedVector, { event }: Judgement): void {
  for (const name of ['id', 'type'] as const) {
    const wanted = vector.expect_event?.[name]
    if (wanted !== undefined && isInRequest(wanted, vector)) assert.equal(event?.[name], wanted, name)
  }
}

function checkResponse(vector: JudgedVector, { response }: Judgement): void {
  const wanted = vector.expect_response
  if (wanted === undefined) return
  assert.equal(response?.status, wanted.status)
  if (wanted.body !== undefined) assert.equal(response?.body, wanted.body)
  if (wanted.json !== undefined) assert.deepEqual(JSON.parse(response?.body ?? ''), wanted.json)
  for (const [name, value] of Object.entries(wanted.headers ?? {}))
    assert.equal(response?.headers[name], value, name)
}
