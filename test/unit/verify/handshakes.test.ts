/** The questions that senders ask, and forged ones. H1–H3 stand in schemes/handshakes.ts. */
import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { codeOf, hmac, judge, NOW, sourceOf } from '../../support/signed-request.ts'

const get = (query: string) => ({ method: 'GET', url: `https://hooks.example.com/in?${query}` })

describe('handshakes', () => {
  it('Meta: only our verify token is answered, as plain text that no browser runs', async () => {
    const source = sourceOf({ preset: 'meta', secrets: ['s'], verifyToken: 'ours' })
    const ask = (token: string, challenge = '<script>') =>
      judge(
        source,
        get(`hub.mode=subscribe&hub.challenge=${encodeURIComponent(challenge)}&hub.verify_token=${token}`),
      )
    const answer = await ask('ours')
    assert(answer.kind === 'challenge')
    assert.equal(answer.response.body, '<script>')
    assert.deepEqual(answer.response.headers, {
      'content-type': 'text/plain',
      'x-content-type-options': 'nosniff',
    })
    for (const token of ['', 'our', 'oursx', 'ours&hub.verify_token=ours']) {
      assert.equal(codeOf(await ask(token)), 'challenge-refused', token)
    }
    assert.equal(codeOf(await ask('ours', 'x'.repeat(1025))), 'challenge-refused')
    const tokenless = sourceOf({ preset: 'meta', secrets: ['s'] })
    assert.equal(
      codeOf(await judge(tokenless, get('hub.mode=subscribe&hub.challenge=1&hub.verify_token='))),
      'challenge-refused',
    )
  })

  it('Slack and Zoom: the challenge is answered only after the proof', async () => {
    const slack = sourceOf({ preset: 'slack', secrets: ['s'] })
    const body = '{"type":"url_verification","challenge":"abc"}'
    const headers = {
      'X-Slack-Request-Timestamp': String(NOW),
      'X-Slack-Signature': `v0=${hmac('sha256', 's', `v0:${NOW}:${body}`)}`,
    }
    const answer = await judge(slack, { headers, body })
    assert(answer.kind === 'challenge')
    assert.equal(answer.response.body, 'abc')
    assert.equal(
      codeOf(
        await judge(slack, { headers: { ...headers, 'X-Slack-Signature': `v0=${'0'.repeat(64)}` }, body }),
      ),
      'wrong-signature',
    )
  })

  it('H1, Zoom: no answer is a signature of text that begins like the signed text', async () => {
    const source = sourceOf({ preset: 'zoom', secrets: ['s'] })
    const ask = (plainToken: string) => {
      const body = JSON.stringify({ event: 'endpoint.url_validation', payload: { plainToken } })
      const headers = {
        'x-zm-request-timestamp': String(NOW),
        'x-zm-signature': `v0=${hmac('sha256', 's', `v0:${NOW}:${body}`)}`,
      }
      return judge(source, { headers, body })
    }
    const answer = await ask('qgg8vlvZRS6UYooatFL8Aw')
    assert(answer.kind === 'challenge')
    assert.deepEqual(JSON.parse(answer.response.body), {
      plainToken: 'qgg8vlvZRS6UYooatFL8Aw',
      encryptedToken: hmac('sha256', 's', 'qgg8vlvZRS6UYooatFL8Aw'),
    })
    assert.equal(codeOf(await ask(`v0:${NOW}:{}`)), 'challenge-refused')
  })

  it('H1, X: whatever the CRC answers can be no delivery', async () => {
    for (const preset of ['twitter', 'twitter-oauth2']) {
      const source = sourceOf({ preset, secrets: ['s'] })
      const header =
        preset === 'twitter' ? 'x-twitter-webhooks-signature' : 'X-Twitter-Webhooks-Signature-OAuth2'
      const answer = await judge(source, get('crc_token=NDExMTAzMzQ3NzY4'))
      assert(answer.kind === 'challenge')
      const { response_token } = JSON.parse(answer.response.body) as { response_token: string }
      assert.equal(response_token, `sha256=${hmac('sha256', 's', 'NDExMTAzMzQ3NzY4', 'base64')}`)
      const forged = await judge(source, { headers: { [header]: response_token }, body: 'NDExMTAzMzQ3NzY4' })
      assert.equal(codeOf(forged), 'malformed-body')
      for (const token of ['', '%7B%22a%22%3A1%7D', 'a'.repeat(129), 'a%0A', 'a&crc_token=b', '%E2%80%AE']) {
        assert.equal(codeOf(await judge(source, get(`crc_token=${token}`))), 'challenge-refused', token)
      }
    }
  })

  it('Twitch: the unsigned message type makes no challenge of a notification', async () => {
    const source = sourceOf({ preset: 'twitch', secrets: ['s'] })
    const time = '2027-01-01T00:00:00.123456789Z'
    const post = (body: string, type: string) => ({
      headers: {
        'Twitch-Eventsub-Message-Id': 'm1',
        'Twitch-Eventsub-Message-Timestamp': time,
        'Twitch-Eventsub-Message-Type': type,
        'Twitch-Eventsub-Subscription-Type': 'stream.online',
        'Twitch-Eventsub-Message-Signature': `sha256=${hmac('sha256', 's', `m1${time}${body}`)}`,
      },
      body,
    })
    const notification = await judge(source, post('{"event":{"id":"1"}}', 'webhook_callback_verification'))
    assert.equal(codeOf(notification), 'verified')
    const revoked = await judge(source, post('{"subscription":{"status":"user_removed"}}', 'notification'))
    assert(revoked.kind === 'verified')
    assert.equal(revoked.delivery.verdict.type, 'revocation')
  })

  it('Discord: each product’s ping gets its own answer, and bad signatures 401', async () => {
    const pair = generateKeyPairSync('ed25519')
    const publicKeys = [
      Buffer.from(pair.publicKey.export({ format: 'jwk' }).x ?? '', 'base64url').toString('hex'),
    ]
    const post = (body: string) => ({
      headers: {
        'X-Signature-Timestamp': String(NOW),
        'X-Signature-Ed25519': sign(null, Buffer.from(`${NOW}${body}`), pair.privateKey).toString('hex'),
      },
      body,
    })
    const [interactions, events] = ['interactions', 'webhook-events'].map(mode =>
      sourceOf({ preset: 'discord', publicKeys, mode }),
    )
    assert(interactions !== undefined && events !== undefined)
    const pong = await judge(interactions, post('{"id":"1","type":1}'))
    assert(pong.kind === 'challenge')
    assert.equal(pong.response.body, '{"type":1}')
    const ping = await judge(events, post('{"version":1,"type":0}'))
    assert(ping.kind === 'challenge')
    assert.equal(ping.response.status, 204)
    const event = await judge(events, post('{"type":1,"event":{"type":"ENTITLEMENT_CREATE"}}'))
    assert(event.kind === 'verified')
    assert.equal(event.delivery.verdict.identity, 'DIGEST')
    assert.equal(event.delivery.verdict.type, 'ENTITLEMENT_CREATE')
    const forged = await judge(interactions, { ...post('{"id":"1","type":1}'), body: '{"id":"2","type":1}' })
    assert(forged.kind === 'rejected')
    assert.equal(forged.status, 401)
  })

  it('H2, Asana: an offered secret is for an operator to let in; one that is known is answered again', async () => {
    const waiting = sourceOf({ preset: 'asana', awaitSecret: true })
    const answer = await judge(waiting, { headers: { 'X-Hook-Secret': 'offered-secret' }, body: '{}' })
    assert(answer.kind === 'challenge')
    assert.equal(answer.storesSecret, 'offered-secret')
    assert.equal(answer.response.headers['x-hook-secret'], 'offered-secret')
    const unsigned = await judge(waiting, {
      headers: { 'X-Hook-Signature': hmac('sha256', '', '{}') },
      body: '{}',
    })
    assert.equal(codeOf(unsigned), 'no-secret-yet')
    const settled = sourceOf({ preset: 'asana', secrets: ['offered-secret'] })
    assert.equal(
      codeOf(await judge(settled, { headers: { 'X-Hook-Secret': 'attacker-chosen' } })),
      'secret-not-expected',
    )
    const learner = sourceOf({ preset: 'asana', awaitSecret: true, secrets: ['offered-secret'] })
    const another = await judge(learner, { headers: { 'X-Hook-Secret': 'of-another-webhook' } })
    assert(another.kind === 'challenge')
    assert.equal(another.storesSecret, 'of-another-webhook')
    const repeated = await judge(settled, { headers: { 'X-Hook-Secret': 'offered-secret' } })
    assert(repeated.kind === 'challenge')
    assert.equal(repeated.storesSecret, undefined)
    for (const offer of ['short', 'with blank inside', 'x'.repeat(513), 'line\r\nbreak-in']) {
      assert.equal(
        codeOf(await judge(waiting, { headers: { 'X-Hook-Secret': offer } })),
        'secret-not-expected',
      )
    }
  })

  it('H2, Notion: the token of the handshake is the secret', async () => {
    const waiting = sourceOf({ preset: 'notion', awaitSecret: true })
    const answer = await judge(waiting, {
      body: '{"verification_token":"secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}',
    })
    assert(answer.kind === 'challenge')
    assert.match(answer.storesSecret ?? '', /^secret_/)
    const settled = sourceOf({ preset: 'notion', secrets: ['other'] })
    assert.equal(
      codeOf(await judge(settled, { body: '{"verification_token":"secret_attacker"}' })),
      'secret-not-expected',
    )
  })

  it('Okta: a wrong Authorization is refused before anything is echoed', async () => {
    const source = sourceOf({ preset: 'okta', secrets: ['s'] })
    const ask = (headers: Record<string, string>) => judge(source, { method: 'GET', headers })
    const answer = await ask({ 'X-Okta-Verification-Challenge': '"}<', Authorization: 's' })
    assert(answer.kind === 'challenge')
    assert.deepEqual(JSON.parse(answer.response.body), { verification: '"}<' })
    assert.equal(
      codeOf(await ask({ 'X-Okta-Verification-Challenge': 'x', Authorization: 'wrong' })),
      'wrong-token',
    )
    assert.equal(codeOf(await ask({ Authorization: 's' })), 'challenge-refused')
  })

  it('Xero, LINE, Asana: an empty list of events is answered, not published, and only when it is proven', async () => {
    for (const [preset, header, encoding] of [
      ['xero', 'x-xero-signature', 'base64'],
      ['line', 'x-line-signature', 'base64'],
      ['asana', 'X-Hook-Signature', 'hex'],
    ] as const) {
      const source = sourceOf({ preset, secrets: ['s'] })
      const body = '{"events":[]}'
      assert.equal(
        codeOf(await judge(source, { headers: { [header]: hmac('sha256', 's', body, encoding) }, body })),
        'no-events',
      )
      const forged = await judge(source, { headers: { [header]: hmac('sha256', 'x', body, encoding) }, body })
      assert(forged.kind === 'rejected')
      assert.equal(forged.status, 401)
    }
  })

  it('WooCommerce: the unsigned ping is recognised by its exact form', async () => {
    const source = sourceOf({ preset: 'woocommerce', secrets: ['s'] })
    assert.equal(codeOf(await judge(source, { body: 'webhook_id=7' })), 'woocommerce-ping')
    for (const body of ['webhook_id=7&a=1', 'webhook_id=', 'webhook_id=7\n', '{"webhook_id":7}']) {
      assert.equal(codeOf(await judge(source, { body })), 'missing-signature', body)
    }
  })

  it('Trello: the address is probed with HEAD', async () => {
    const source = sourceOf({ preset: 'trello', secrets: ['s'] })
    assert.equal(codeOf(await judge(source, { method: 'HEAD' })), 'head-probe')
    assert(source.methods.has('HEAD'))
  })
})
