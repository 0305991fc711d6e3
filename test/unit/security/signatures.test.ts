/** Ways in which receivers took what nobody had signed. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { listPresets } from '@sallyport/ingress/schemes/presets'
import { sign } from '@sallyport/ingress/schemes/sign'
import type { SourceSettings } from '@sallyport/ingress/sources'
import { codeOf, hmac, judge, NOW, NOW_MS, sourceOf } from '../../support/signed-request.ts'

const URL_SIGNED = 'https://hooks.example.com/in'

/** A genuine delivery of every preset whose row can sign here. */
const GENUINE = listPresets().flatMap(({ name, scheme, needs }) => {
  if (scheme === undefined || needs === 'publicKeys') return []
  const settings: SourceSettings = {
    preset: name,
    secrets: ['c0ffeec0ffeec0ff'],
    ...(scheme.algorithm === 'basic' ? { username: 'user' } : {}),
  }
  const body = `{"id":"1","type":"thing.done","webhookTimestamp":${NOW_MS}}`
  const ids = [...(scheme.signed ?? '').matchAll(/\{header:([^}]+)\}/g)].map(match => [match[1], 'id-1'])
  const headers: Record<string, string> = sign(name, settings, {
    body: Buffer.from(body),
    nowMs: NOW_MS,
    url: URL_SIGNED,
    headers: Object.fromEntries(ids),
  })
  const header = scheme.header
  return [{ name, source: sourceOf(settings), header, headers, proof: headers[header] ?? '', body }]
})

async function statusOf(
  { source, body }: (typeof GENUINE)[number],
  headers: Record<string, string> | [string, string][],
): Promise<number> {
  const verification = await judge(source, { url: URL_SIGNED, headers, body })
  assert.notEqual(codeOf(verification), 'unreadable')
  return verification.kind === 'rejected' ? verification.status : 200
}

describe('a proof', () => {
  it('that is genuine is taken, of every preset that can sign here', async () => {
    assert(GENUINE.length >= 60)
    for (const genuine of GENUINE) assert.equal(await statusOf(genuine, genuine.headers), 200, genuine.name)
  })

  it('that is left out, empty or doubled is refused by every preset', async () => {
    for (const genuine of GENUINE) {
      const { name, header, headers, proof } = genuine
      const { [header]: _, ...without } = headers
      assert.equal(await statusOf(genuine, without), 401, name)
      assert.equal(await statusOf(genuine, { ...headers, [header]: '' }), 401, name)
      const pairs = Object.entries(headers)
      assert.equal(await statusOf(genuine, [...pairs, [header.toLowerCase(), proof]]), 401, name)
      assert.equal(await statusOf(genuine, [[header, 'x'], ...pairs]), 401, name)
      assert.equal(await statusOf(genuine, { ...headers, [header]: `${proof}, ${proof}` }), 401, name)
    }
  })

  it('that is cut short at any place, down to its bare label, is refused by every preset', async () => {
    for (const genuine of GENUINE) {
      for (let length = 0; length < genuine.proof.length; length++) {
        const headers = { ...genuine.headers, [genuine.header]: genuine.proof.slice(0, length) }
        assert.equal(await statusOf(genuine, headers), 401, `${genuine.name}, ${length} characters`)
      }
    }
  })

  it('of the list kind is no empty `v1,`, alone or among others', async () => {
    const source = sourceOf({ preset: 'standard-webhooks', secrets: ['whsec_c2VjcmV0'] })
    for (const list of ['v1,', 'v1', ',', 'v1,=', 'v1,====', 'v1, v1,', 'v1a,', 'v2,AAAA v1,', ' v1,']) {
      const verification = await judge(source, {
        headers: { 'webhook-id': 'm1', 'webhook-timestamp': String(NOW), 'webhook-signature': list },
        body: '{}',
      })
      assert(verification.kind === 'rejected', list)
      assert.equal(verification.status, 401)
    }
  })

  it('counts wherever it stands in a list, and whichever of the secrets made it', async () => {
    const secrets = ['whsec_bmV3', 'whsec_b2xk']
    const source = sourceOf({ preset: 'standard-webhooks', secrets })
    const signature = (key: string) => `v1,${hmac('sha256', key, `m1.${NOW}.{}`, 'base64')}`
    const wrong = ['a', 'b', 'c'].map(signature)
    for (const [index, key] of ['new', 'old'].entries()) {
      for (let at = 0; at <= wrong.length; at++) {
        const list = [...wrong.slice(0, at), signature(key), ...wrong.slice(at)].join(' ')
        const verification = await judge(source, {
          headers: { 'webhook-id': 'm1', 'webhook-timestamp': String(NOW), 'webhook-signature': list },
          body: '{}',
        })
        assert(verification.kind === 'verified', list)
        assert.equal(verification.delivery.verdict.secretIndex, index)
      }
    }
  })

  it('of any length and alphabet is a 401, never an exception', async () => {
    const source = sourceOf({ preset: 'github', secrets: ['s'] })
    for (let length = 0; length <= 200; length++) {
      for (const character of ['0', 'f', 'F', 'é', '\u0100', '😀', '\0']) {
        const headers = { 'X-Hub-Signature-256': `sha256=${character.repeat(length)}` }
        const verification = await judge(source, { headers, body: '{}' })
        assert(verification.kind === 'rejected')
        assert.equal(verification.status, 401, `${length} × ${character}`)
      }
    }
  })
})

describe('signed bytes', () => {
  it('of every language and none are verified as they came; what only looks the same is another body', async () => {
    const composed = '{"name":"Zoë 雪 😀"}'
    const bodies = [
      composed,
      composed.normalize('NFD'),
      Buffer.from(composed, 'utf16le'),
      Buffer.from([0xff, 0]),
    ]
    for (const genuine of GENUINE.filter(({ name }) =>
      ['github', 'stripe', 'svix', 'slack'].includes(name),
    )) {
      const settings = { preset: genuine.name, secrets: ['c0ffeec0ffeec0ff'] }
      const ids = Object.fromEntries(Object.entries(genuine.headers).filter(([, value]) => value === 'id-1'))
      for (const body of bodies) {
        const bytes = Buffer.from(body)
        const headers = sign(genuine.name, settings, { body: bytes, nowMs: NOW_MS, headers: ids })
        for (const other of bodies) {
          const code = codeOf(await judge(genuine.source, { headers, body: other }))
          assert.equal(code, Buffer.from(other).equals(bytes) ? 'verified' : 'wrong-signature', genuine.name)
        }
      }
    }
  })
})

describe('comparisons', () => {
  const SCHEMES = new URL('../../../services/ingress/src/schemes/', import.meta.url)
  const files = readdirSync(SCHEMES).map(
    name => [name, readFileSync(new URL(name, SCHEMES), 'utf8')] as const,
  )

  it('in constant time stand in one file, which checks lengths first', () => {
    const callers = files.filter(([, text]) => text.includes('timingSafeEqual')).map(([name]) => name)
    assert.deepEqual(callers, ['compare.ts'])
  })

  it('of a proof with what was expected are never left to === or !==', () => {
    const proof = /\b(?:expected|given|mac|digest|token|password|signature)\b(?:\.\w+)?\s*[!=]==\s*(\S+)/gi
    for (const [name, text] of files) {
      for (const [found, other = ''] of text.matchAll(proof)) {
        // Whether something is there at all, is a text, and has the right length may be asked.
        if (found.includes('.length')) continue
        assert.match(other, /^(?:''|'string'|undefined|null|-?\d+)\W*/, `${name}: ${found}`)
      }
    }
  })
})
