/** An empty secret signs for everybody: every way to one is shut. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { SallyportError } from '@sallyport/core/errors'
import { loadSettings } from '@sallyport/core/settings'
import { openDoors } from '@sallyport/ingress/config'
import { compileSource } from '@sallyport/ingress/sources'
import { codeOf, hmac, judge, sourceOf } from '../../support/signed-request.ts'

describe('empty secrets', () => {
  it('refuse to start, also as a previous one behind a good one', () => {
    for (const empty of ['', ' ', '\n', '\t ', '\u00a0', '\ufeff']) {
      for (const secrets of [[empty], ['good', empty], [empty, 'good']]) {
        for (const preset of ['github', 'gitlab', 'telegram', 'stripe']) {
          assert.throws(
            () => compileSource('test', { preset, secrets }),
            (error: Error) => error instanceof SallyportError && error.code === 'SP_SECRET_MISSING',
            JSON.stringify([preset, secrets]),
          )
        }
      }
    }
  })

  it('refuse to start where they are empty only once they are decoded', () => {
    for (const secret of ['whsec_', 'whsec_=', 'whsec_==', 'whsec_====']) {
      for (const preset of ['standard-webhooks', 'svix', 'openai']) {
        assert.throws(() => compileSource('test', { preset, secrets: [secret] }), SallyportError, secret)
      }
    }
    assert.throws(() => compileSource('test', { preset: 'adyen-payments', secrets: ['0'] }), SallyportError)
  })

  it('refuse to start where a variable is unset or empty or a file holds nothing, as do those of a reload', () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-secrets-'))
    try {
      writeFileSync(path.join(folder, 'nothing'), '\n')
      const references = ['${env:HOOK_SECRET}', `\${file:${folder}/nothing}`, `\${file:${folder}/absent}`]
      for (const reference of references) {
        const file = path.join(folder, 'sallyport.yaml')
        writeFileSync(file, `window: 30d\nsources: { hook: { preset: github, secrets: ['${reference}'] } }\n`)
        for (const env of [{}, { HOOK_SECRET: '' }, { HOOK_SECRET: '  ' }]) {
          // A reload opens the doors with the same call.
          assert.throws(
            () => openDoors(loadSettings(file, {}), env, Date.now),
            (error: Error) =>
              error instanceof SallyportError &&
              error.code === 'SP_SECRET_MISSING' &&
              error.message.includes('sources.hook.secrets[0]'),
            reference,
          )
        }
      }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('are never keys: what is signed with one is refused', async () => {
    const body = '{}'
    const waiting = sourceOf({ preset: 'asana', awaitSecret: true })
    const settled = sourceOf({ preset: 'asana', secrets: ['secret-of-asana'] })
    for (const source of [waiting, settled]) {
      for (const key of ['', '\0', 'undefined', 'null', '[object Object]']) {
        const headers = { 'X-Hook-Signature': hmac('sha256', key, body) }
        const verification = await judge(source, { headers, body })
        assert(verification.kind === 'rejected')
        assert.equal(verification.status, 401)
      }
    }
  })

  it('that are offered in a handshake are none where they are short, long or not plain text', async () => {
    const waiting = (preset: string) => sourceOf({ preset, awaitSecret: true })
    const offers = [
      '',
      ' ',
      '\n',
      'short',
      'with blank inside',
      'line\nbreak-in',
      'x'.repeat(513),
      'é'.repeat(8),
    ]
    for (const offer of offers) {
      for (const [preset, body] of [
        ['notion', { verification_token: offer }],
        ['salesforce', { verificationKey: offer }],
      ] as const) {
        const code = codeOf(await judge(waiting(preset), { body: JSON.stringify(body) }))
        assert.equal(code, 'secret-not-expected', `${preset} ${JSON.stringify(offer)}`)
      }
      const headers = { 'X-Hook-Secret': offer }
      assert.equal(codeOf(await judge(waiting('asana'), { headers })), 'secret-not-expected', offer)
    }
    const offered = await judge(waiting('salesforce'), { body: '{"verificationKey":"0123-4567-89ab"}' })
    assert(offered.kind === 'challenge')
    assert.equal(offered.storesSecret, '0123-4567-89ab')
  })
})
