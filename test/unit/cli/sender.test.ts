import assert from 'node:assert/strict'
import { listPresets } from '@sallyport/ingress/schemes/presets'
import type { SourceSettings } from '@sallyport/ingress/sources'
import { Sender } from 'sallyport/send/sender'
import { codeOf, judge, NOW_MS, sourceOf } from '../../support/signed-request.ts'

const URL = 'https://hooks.example.com/in'
/** Text that is hex, base64 and a text. */
const SECRET = 'c0ffeec0ffeec0ff'
const SIGNED_HERE = /^(hmac-|token|basic|sha256)/

function settingsOf(preset: string, more: Partial<SourceSettings> = {}): SourceSettings {
  return { preset, secrets: [SECRET], ...more }
}

describe('a sample delivery', () => {
  for (const { name, scheme, id } of listPresets()) {
    if (scheme === undefined || !SIGNED_HERE.test(scheme.algorithm)) continue
    it(`of ${name} is what its sender would send: the ingress’s code accepts it`, async () => {
      const settings = settingsOf(name, scheme.algorithm === 'basic' ? { username: 'user' } : {})
      const sender = new Sender('test', settings)
      for (const sample of sender.samples(NOW_MS)) {
        const headers = sender.headersOf(sample, URL, NOW_MS)
        const verification = await judge(sourceOf(settings), { url: URL, headers, body: sample.body })
        assert.equal(codeOf(verification), 'verified')
        if (id !== undefined && verification.kind === 'verified')
          assert.notEqual(verification.delivery.verdict.senderId, null)
      }
    })
  }

  it('of a scheme of one’s own has the fields, the id and the time that the settings name', async () => {
    const settings: SourceSettings = {
      scheme: { header: 'X-Signature', algorithm: 'hmac-sha256', encoding: 'hex' },
      secrets: [SECRET],
      id: '$.data.list[1].id',
      type: 'X-Type',
      timestamp: '$.sent',
      required: ['$.data.name'],
    }
    const sender = new Sender('test', settings)
    const [sample] = sender.samples(NOW_MS)
    assert.ok(sample)
    const headers = sender.headersOf(sample, URL, NOW_MS)
    const verification = await judge(sourceOf(settings), { url: URL, headers, body: sample.body })
    assert.equal(codeOf(verification), 'verified')
    const { data, sent } = JSON.parse(String(sample.body))
    assert.ok(data.name && data.list[1].id)
    assert.equal(Date.parse(sent), NOW_MS)
  })

  it('of a sender with a private key cannot be signed here, and the error says so', () => {
    const sender = new Sender('test', settingsOf('twilio'))
    const [sample] = sender.samples(NOW_MS)
    assert.ok(sample)
    assert.throws(() => sender.headersOf(sample, URL, NOW_MS), /SP_SETTINGS.*cannot be signed here/)
  })
})
