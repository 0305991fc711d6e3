/** What proves a sender is never stored with its events, whatever the header's name. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { loadSettings } from '@sallyport/core/settings'
import { openDoors } from '@sallyport/ingress/config'
import { HeaderList } from '@sallyport/ingress/delivery'
import { listPresets } from '@sallyport/ingress/schemes/presets'
import { isAmong } from '@sallyport/ingress/schemes/verifier'
import { compileSource, type Source } from '@sallyport/ingress/sources'
import { verify } from '@sallyport/ingress/verify'
import { CODED_SENDERS } from '../../support/coded-senders.ts'
import { settingsOf } from '../../support/preset-settings.ts'
import { NOW_MS, requestOf, sourceOf } from '../../support/signed-request.ts'

/** Headers that schemes read and that prove nothing: times, ids, versions, names of algorithms, lists of names. */
const NO_PROOF = new Set([
  'content-type',
  'x-twilio-webhooks-signature-settings',
  'x-plivo-signature-v3-nonce',
  'box-signature-version',
  'box-signature-algorithm',
  'box-delivery-timestamp',
  'paypal-transmission-id',
  'paypal-transmission-time',
  'paypal-auth-algo',
  'x-contentful-timestamp',
  'x-contentful-signed-headers',
  'x-contentful-idempotency-key',
  'x-okta-verification-challenge',
])

/** Keeps the names that were asked for. */
class WatchedHeaders extends HeaderList {
  readonly asked = new Set<string>()

  override get(name: string): string | undefined {
    this.asked.add(name)
    return super.get(name)
  }

  override only(name: string): string | null | undefined {
    this.asked.add(name)
    return super.only(name)
  }

  override all(name: string): string[] {
    this.asked.add(name)
    return super.all(name)
  }
}

/** The headers that a source reads to judge a request, beside those that say id and type. */
async function asked(
  source: Source,
  method: string,
  pairs: readonly string[],
  body: Buffer,
): Promise<Set<string>> {
  const headers = new WatchedHeaders(pairs)
  const reading = { ...source, id: [], type: [], typeOf: undefined, required: [], bodySchema: null }
  await verify(reading, { ...requestOf({ method }), headers, body }, NOW_MS)
  return headers.asked
}

/** Why doors with this entry are not opened, or undefined. */
function refusal(entry: object): string | undefined {
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-kept-'))
  try {
    const file = path.join(folder, 'sallyport.yaml')
    writeFileSync(file, JSON.stringify({ window: '30d', sources: { any: entry } }))
    openDoors(loadSettings(file, {}), { SECRET: 'c0ffeec0ffeec0ff' }, () => NOW_MS)
    return undefined
  } catch (error) {
    return (error as Error).message
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const entryOf = (preset: string): Record<string, unknown> => {
  const settings = settingsOf(preset)
  return 'secrets' in settings ? { ...settings, secrets: ['${env:SECRET}'] } : settings
}

describe('a header that proves the sender', () => {
  for (const preset of listPresets()) {
    it(`cannot be kept, nor be the id or type: ${preset.name}`, () => {
      const entry = entryOf(preset.name)
      const { verifier, row } = compileSource('any', settingsOf(preset.name))
      const names = verifier.proof.map(one => (typeof one === 'string' ? one : 'x-docusign-signature-7'))
      assert.deepEqual(
        row === null ? [] : names.filter(name => name === row.header.toLowerCase()),
        row === null ? [] : [row.header.toLowerCase()],
      )
      assert.equal(refusal(entry), undefined)
      for (const name of names) {
        assert.match(
          String(refusal({ ...entry, headers: ['X-Other', name.toUpperCase()] })),
          /headers names/,
          name,
        )
        assert.match(String(refusal({ ...entry, type: name })), /type names/, name)
        assert.match(String(refusal({ ...entry, id: ['$.id', [name, '$.id']] })), /id names/, name)
      }
    })

    it(`is whatever its scheme reads, but for times, ids and versions: ${preset.name}`, async () => {
      const source = sourceOf(settingsOf(preset.name))
      const row = source.row
      const signed = [...(row?.signed ?? '').matchAll(/\{header:([^}]+)\}/g)].map(match =>
        match[1]?.toLowerCase(),
      )
      const time = row?.timestamp?.at.toLowerCase()
      for (const method of ['POST', 'GET', 'HEAD']) {
        for (const name of await asked(source, method, [], Buffer.from('{}'))) {
          const known = isAmong(name, source.verifier.proof) || NO_PROOF.has(name) || signed.includes(name)
          assert(known || name === time, `${name} is read: does it prove?`)
        }
      }
    })
  }

  it('is whatever a sender with code of its own reads in a genuine request', async () => {
    for (const { name, source, proof, request } of CODED_SENDERS) {
      const { headers = {}, method = 'POST', body = '' } = request(proof)
      const pairs = Object.entries(headers) as [string, string][]
      const row = source.row
      const names = await asked(source, method, pairs.flat(), Buffer.from(body as string))
      const signed = [...(row?.signed ?? '').matchAll(/\{header:([^}]+)\}/g)].map(match =>
        match[1]?.toLowerCase(),
      )
      for (const read of names) {
        const known = isAmong(read, source.verifier.proof) || NO_PROOF.has(read) || signed.includes(read)
        assert(
          known || read === row?.timestamp?.at.toLowerCase() || /^(svix|webhook)-(id|timestamp)$/.test(read),
          `${name}: ${read} is read: does it prove?`,
        )
      }
      for (const [header, value] of pairs) {
        if (value.includes(proof))
          assert(isAmong(header.toLowerCase(), source.verifier.proof), `${name}: ${header}`)
      }
    }
  })

  it('cannot be kept, whatever its name, of a row of one’s own', () => {
    for (const [algorithm, header] of [
      ['token', 'X-Who-Goes-There'],
      ['hmac-sha256', 'X-Checked'],
      ['ed25519', 'X-Checked'],
    ] as const) {
      const key = { publicKeys: [settingsOf('discord').publicKeys?.[0]] }
      const scheme = { algorithm, header, ...(algorithm === 'ed25519' ? { publicKey: { form: 'hex' } } : {}) }
      const entry = { scheme, ...(algorithm === 'ed25519' ? key : { secrets: ['${env:SECRET}'] }) }
      assert.equal(refusal({ ...entry, headers: ['X-Other'] }), undefined)
      assert.match(String(refusal({ ...entry, headers: [header.toLowerCase()] })), /headers names/)
    }
    const chosen = { ...entryOf('okta'), header: 'X-Mine' }
    assert.match(String(refusal({ ...chosen, headers: ['x-mine'] })), /headers names x-mine/)
  })

  it('cannot be one that every event keeps', () => {
    for (const header of ['Content-Type', 'Content-Encoding', 'traceparent']) {
      const scheme = { algorithm: 'token', header }
      assert.match(String(refusal({ scheme, secrets: ['${env:SECRET}'] })), /takes its proof from/, header)
      assert.match(String(refusal({ ...entryOf('okta'), header })), /takes its proof from/, header)
    }
  })

  it('cannot be kept by names that say what they are, though no scheme here reads them', () => {
    for (const name of ['Cookie', 'X-Api-Key', 'X-Client-Cert', 'X-Content-MAC', 'X-Jwt', 'X-Gitlab-Token']) {
      assert.match(String(refusal({ ...entryOf('github'), headers: [name] })), /headers names/, name)
    }
  })
})
