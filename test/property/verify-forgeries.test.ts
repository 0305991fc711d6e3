/** Forgeries of every preset that is a row, 10,000 requests each family: never a throw, never an accepted mutation (V7). */
import assert from 'node:assert/strict'
import { listPresets } from '@sallyport/ingress/schemes/presets'
import { sign } from '@sallyport/ingress/schemes/sign'
import type { SourceSettings } from '@sallyport/ingress/sources'
import { verify } from '@sallyport/ingress/verify'
import fc from 'fast-check'
import { mutate, mutation } from '../support/mutation.ts'
import { codeOf, NOW, NOW_MS, requestOf, sourceOf } from '../support/signed-request.ts'

const RUNS = { numRuns: 10_000 }
const URL = 'https://hooks.example.com/in'
const FORM = 'application/x-www-form-urlencoded'

/** Presets whose rows can sign here, with settings and the body that a delivery of theirs needs. */
const SIGNED = listPresets().flatMap(preset => {
  const { scheme, needs, name } = preset
  if (scheme === undefined || needs === 'publicKeys') return []
  const settings: SourceSettings = {
    preset: name,
    secrets: ['c0ffeec0ffeec0ff'],
    ...(scheme.algorithm === 'basic' ? { username: 'user' } : {}),
  }
  const body = Buffer.from(
    name === 'linear'
      ? `{"id":"1","webhookTimestamp":${NOW_MS}}`
      : '{"id":"1","type":"thing.done","n":[1,2]}',
  )
  const ids = [...(scheme.signed ?? '').matchAll(/\{header:([^}]+)\}/g)].map(match => [
    match[1] ?? '',
    'id-1',
  ])
  const headers = sign(name, settings, { body, nowMs: NOW_MS, url: URL, headers: Object.fromEntries(ids) })
  return [{ name, scheme, source: sourceOf(settings), headers, body }]
})

type Signed = (typeof SIGNED)[number]

function code({ source }: Signed, headers: Record<string, string>, body: Buffer): string {
  const verification = verify(source, requestOf({ url: URL, headers, body }), NOW_MS)
  assert(!(verification instanceof Promise))
  assert(verification.kind !== 'rejected' || verification.code !== 'unreadable')
  return codeOf(verification)
}

describe('forgeries', () => {
  it('what a row signs, it accepts', () => {
    assert(SIGNED.length >= 60)
    for (const signed of SIGNED)
      assert.equal(code(signed, signed.headers, signed.body), 'verified', signed.name)
  })

  it('V2: no mutation of a signature header is accepted, of any preset', () => {
    fc.assert(
      fc.property(fc.constantFrom(...SIGNED), mutation, (signed, change) => {
        const { header, list, algorithm } = signed.scheme
        const genuine = signed.headers[header] ?? ''
        const mutated = mutate(genuine, change)
        if (mutated === genuine) return
        const result = code(signed, { ...signed.headers, [header]: mutated }, signed.body)
        // Blanks around elements are the syntax of some lists, and "Basic" is written in any case.
        const sameMeaning =
          (list?.blanks === true && mutated.replaceAll(/\s/g, '') === genuine) ||
          (algorithm === 'basic' &&
            /^basic +/i.test(mutated) &&
            mutated.replace(/^basic +/i, '') === genuine.slice(6))
        if (!sameMeaning) assert.notEqual(result, 'verified', `${signed.name}: ${mutated}`)
      }),
      RUNS,
    )
  })

  it('V1: no mutation of a signed body is accepted, of any preset', () => {
    const bound = SIGNED.filter(({ scheme }) => scheme.algorithm !== 'token' && scheme.algorithm !== 'basic')
    fc.assert(
      fc.property(fc.constantFrom(...bound), mutation, (signed, change) => {
        const body = Buffer.from(mutate(signed.body.toString('latin1'), change), 'latin1')
        if (body.equals(signed.body)) return
        assert.notEqual(code(signed, signed.headers, body), 'verified', `${signed.name}: ${body.toString()}`)
      }),
      RUNS,
    )
  })

  it('V7: no header and no body makes any preset throw', () => {
    const names = fc.constantFrom(
      ...new Set(SIGNED.flatMap(({ headers }) => Object.keys(headers))),
      'Content-Type',
      'Authorization',
    )
    const value = fc.oneof(
      fc.string(),
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc.constantFrom(FORM, 'application/json', `t=${NOW},v1=`, 'v1,', 'Bearer a.b.c'),
    )
    const body = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.json().map(json => Buffer.from(json)),
      fc.webQueryParameters().map(query => Buffer.from(query)),
    )
    fc.assert(
      fc.property(
        fc.constantFrom(...SIGNED),
        fc.array(fc.tuple(names, value), { maxLength: 6 }),
        body,
        (signed, headers, bytes) => {
          const verification = verify(signed.source, requestOf({ headers, body: Buffer.from(bytes) }), NOW_MS)
          assert(!(verification instanceof Promise))
          assert(
            verification.kind !== 'verified' &&
              (verification.kind !== 'rejected' || verification.code !== 'unreadable'),
          )
        },
      ),
      RUNS,
    )
  })
})
