/** What a source refuses to start with, and what it tells the ingress. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { durationMs } from '@sallyport/core/duration'
import { listPresets } from '@sallyport/ingress/schemes/presets'
import { compileTemplate } from '@sallyport/ingress/schemes/template'
import { compileSource, type SourceSettings } from '@sallyport/ingress/sources'
import { verify } from '@sallyport/ingress/verify'
import { Ajv } from 'ajv'
import { DISCORD_KEY, settingsOf } from '../../support/preset-settings.ts'
import { requestOf, sourceOf } from '../../support/signed-request.ts'

function refusal(settings: SourceSettings): RegExp | string {
  try {
    compileSource('test', settings)
  } catch (error) {
    return (error as Error).message
  }
  return 'nothing was refused'
}

describe('sources', () => {
  for (const preset of listPresets()) {
    it(`${preset.name}: starts with its settings, refuses an empty or missing secret, and throws at no request`, async () => {
      const settings = settingsOf(preset.name)
      const source = sourceOf(settings)
      for (const method of ['POST', 'GET', 'HEAD']) {
        const verification = await verify(source, requestOf({ method }), Date.now())
        assert.notEqual(verification.kind, 'verified')
        if (verification.kind === 'rejected') assert.notEqual(verification.code, 'unreadable')
      }
      if (preset.needs === 'nothing') return
      const name = preset.needs ?? 'secrets'
      for (const empty of [[], [''], [' '], undefined]) {
        assert.match(
          String(refusal({ ...settings, [name]: empty } as SourceSettings)),
          /^SP_SECRET_MISSING|^SP_SETTINGS: sources.test.publicKeys/,
        )
      }
    })

    it(`${preset.name}: says where its facts come from, what its identity is and why, and how long it retries`, () => {
      assert(preset.source.length > 5 && preset.identityReason.length > 10 && preset.title.length > 1)
      assert(durationMs(preset.retryHorizon, 'retryHorizon') >= 600_000)
      if (preset.digestWindow !== undefined) {
        assert(
          durationMs(preset.digestWindow, 'digestWindow') >= durationMs(preset.retryHorizon, 'retryHorizon'),
        )
      }
    })
  }

  it('V6: a row claims SENDER_ID only where its signature covers every place of the id', () => {
    for (const { name, scheme, code, identity, id } of listPresets()) {
      if (scheme === undefined || code !== undefined || identity !== 'SENDER_ID') continue
      assert(scheme.algorithm !== 'token' && scheme.algorithm !== 'basic', name)
      const template = compileTemplate(scheme.signed ?? '{body}', name)
      const places = typeof id === 'string' ? [id] : (id ?? []).flat()
      assert(places.length > 0, name)
      for (const place of places) {
        assert(
          place.startsWith('$') || place.startsWith('form:')
            ? template.body
            : template.headers.has(place.toLowerCase()),
          `${name} ${place}`,
        )
      }
    }
  })

  it('a custom id is the identity only where the scheme signs it', () => {
    const scheme = { header: 'X-Sig', algorithm: 'hmac-sha256' } as const
    const base = { scheme, secrets: ['s'] }
    assert.equal(sourceOf({ ...base, id: '$.id' }).identity, 'SENDER_ID')
    assert.equal(sourceOf({ ...base, id: 'X-Id' }).identity, 'DIGEST')
    assert.equal(
      sourceOf({ ...base, scheme: { ...scheme, signed: '{header:X-Id}.{body}' }, id: 'x-id' }).identity,
      'SENDER_ID',
    )
    assert.equal(
      sourceOf({ ...base, scheme: { header: 'X-Token', algorithm: 'token' }, id: '$.id' }).identity,
      'DIGEST',
    )
    assert.equal(sourceOf({ preset: 'github', secrets: ['s'], id: '$.id' }).identity, 'SENDER_ID')
  })

  it('refuses what would let forgeries in, naming the setting', () => {
    const scheme = { header: 'X-Sig', algorithm: 'hmac-sha256' } as const
    const cases: readonly [SourceSettings, RegExp][] = [
      [{ secrets: ['s'] }, /needs either preset/],
      [{ preset: 'nobody', secrets: ['s'] }, /sources\.test\.preset is "nobody"/],
      [{ preset: 'github', scheme, secrets: ['s'] }, /needs either preset/],
      [{ preset: 'github', secrets: ['s'], colour: 'red' }, /sources\.test\.colour is no setting/],
      [{ preset: 'github', secrets: ['s'], awaitSecret: true }, /awaitSecret is only for senders/],
      [
        { preset: 'github', secrets: ['s'], timestamp: { tolerance: '1m' } },
        /timestamp needs path or header/,
      ],
      [{ preset: 'gitlab', secrets: ['s'], timestamp: '$.time' }, /does not sign/],
      [{ preset: 'stripe', secrets: ['s'], timestamp: '$.created' }, /can only set tolerance/],
      [
        { preset: 'stripe', secrets: ['s'], timestamp: { tolerance: 'soon' } },
        /timestamp\.tolerance is "soon"/,
      ],
      [{ preset: 'standard-webhooks', secrets: ['whsec_?'] }, /not written as whsec/],
      [{ preset: 'adyen-payments', secrets: ['xyz'] }, /not written as hex/],
      [{ preset: 'discord', publicKeys: ['zz'] }, /cannot be read as a key for ed25519/],
      [{ preset: 'sendgrid', publicKeys: [DISCORD_KEY] }, /cannot be read as a key for ecdsa/],
      [{ preset: 'sns' }, /topicArns is required/],
      [{ preset: 'box', secrets: ['a', 'b', 'c'] }, /primary key/],
      [{ preset: 'discord', publicKeys: [DISCORD_KEY], mode: 'both' }, /mode must be one of/],
      [{ scheme: { ...scheme, signed: '{timestamp}' }, secrets: ['s'] }, /must hold \{body\}/],
      [{ scheme: { ...scheme, signed: '{timestamp}.{body}' }, secrets: ['s'] }, /timestamp is required/],
      [{ scheme: { ...scheme, signed: '{secret}{body}' }, secrets: ['s'] }, /must not hold \{secret\}/],
      [{ scheme: { ...scheme, signed: '{nonsense}' }, secrets: ['s'] }, /use \{body\} once/],
      [{ scheme: { ...scheme, algorithm: 'md5' as 'sha256' }, secrets: ['s'] }, /algorithm must be one of/],
      [{ scheme, secrets: ['s'], timestamp: 'X-Time' }, /not covered by the signature/],
      [{ scheme, secrets: ['s'], required: ['$..x'] }, /write a path like/],
      [{ scheme, secrets: ['s'], url: 'here' }, /whole URL/],
      [{ scheme, secrets: ['s'], success: { status: 404 } }, /must be 200 to 299/],
    ]
    for (const [settings, words] of cases) assert.match(String(refusal(settings)), words)
    assert.throws(() => compileSource('a/b', { preset: 'github', secrets: ['s'] }), /must be lower-case/)
  })

  it('no refusal repeats a secret', () => {
    for (const preset of ['standard-webhooks', 'adyen-payments', 'airtable']) {
      assert.doesNotMatch(String(refusal({ preset, secrets: ['my secret!'] })), /my secret/)
    }
  })

  it('a source may set its own tolerance, URL and success answer', () => {
    const source = sourceOf({
      preset: 'paddle',
      secrets: ['s'],
      timestamp: { tolerance: '1m' },
      success: { status: 204 },
    })
    assert.deepEqual(source.success, { status: 204, headers: {}, body: '' })
    assert.equal(sourceOf({ preset: 'airtable', secrets: ['c29tZQ=='] }).success?.body, '')
  })

  it('the JSON Schema knows every preset, and takes what the presets need', () => {
    const schema = JSON.parse(
      readFileSync(new URL('../../../schemas/source.schema.json', import.meta.url), 'utf8'),
    )
    assert.deepEqual(
      schema.properties.preset.enum,
      listPresets().map(({ name }) => name),
    )
    const validate = new Ajv({ strict: false, formats: { uri: URL.canParse } }).compile(schema)
    for (const { name } of listPresets()) {
      const settings = {
        ...settingsOf(name),
        ...('secrets' in settingsOf(name) ? { secrets: ['${env:SECRET}'] } : {}),
      }
      assert(validate(settings), `${name}: ${JSON.stringify(validate.errors)}`)
    }
    assert(!validate({ preset: 'github', secrets: ['written out'] }))
  })
})
