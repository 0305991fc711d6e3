/** Senders whose keys are fetched: SNS, PayPal, Pub/Sub and Plaid. */
import assert from 'node:assert/strict'
import { createHash, createPrivateKey, generateKeyPairSync, sign } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { SourceSettings } from '@sallyport/ingress/sources'
import { codeOf, judge, NOW, NOW_MS, sourceOf } from '../support/signed-request.ts'
import { SIGNING_CERTIFICATE, SIGNING_KEY } from '../support/signing-certificate.ts'

const key = createPrivateKey(SIGNING_KEY)

/** A source whose fetches are counted and answered from a table. */
function fetching(settings: SourceSettings, answers: Readonly<Record<string, string>>) {
  const fetched: string[] = []
  const source = sourceOf(settings, {
    fetchText: async url => {
      fetched.push(url)
      const answer = answers[url]
      if (answer === undefined) throw new Error('404')
      return answer
    },
  })
  return { source, fetched }
}

describe('SNS', () => {
  const topic = 'arn:aws:sns:eu-central-1:123456789012:Orders'
  const certificateUrl =
    'https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem'
  const settings = { preset: 'sns', topicArns: [topic] }
  const NOTIFICATION = ['Message', 'MessageId', 'Subject', 'Timestamp', 'TopicArn', 'Type']
  const CONFIRMATION = ['Message', 'MessageId', 'SubscribeURL', 'Timestamp', 'Token', 'TopicArn', 'Type']

  function message(fields: Record<string, string>, names = NOTIFICATION): string {
    const whole: Record<string, string> = {
      Type: 'Notification',
      MessageId: 'm1',
      TopicArn: topic,
      Message: 'line 1\nline 2',
      Timestamp: '2027-01-01T00:00:00.000Z',
      SignatureVersion: '2',
      SigningCertURL: certificateUrl,
      ...fields,
    }
    const text = names
      .flatMap(name => (whole[name] === undefined ? [] : [`${name}\n${whole[name]}\n`]))
      .join('')
    const hash = whole.SignatureVersion === '1' ? 'sha1' : 'sha256'
    return JSON.stringify({ ...whole, Signature: sign(hash, Buffer.from(text), key).toString('base64') })
  }

  it('takes both signature versions, fetching the certificate once', async () => {
    const { source, fetched } = fetching(settings, { [certificateUrl]: SIGNING_CERTIFICATE })
    for (const SignatureVersion of ['1', '2', '2']) {
      const verification = await judge(source, { body: message({ SignatureVersion, Subject: 'Hi' }) })
      assert(verification.kind === 'verified')
      assert.equal(verification.delivery.verdict.identity, 'SENDER_ID')
      assert.equal(verification.delivery.verdict.senderId, 'm1')
    }
    assert.deepEqual(fetched, [certificateUrl])
  })

  it('refuses a genuine message of a topic that is not on the list, and an old one', async () => {
    const { source } = fetching(settings, { [certificateUrl]: SIGNING_CERTIFICATE })
    assert.equal(
      codeOf(await judge(source, { body: message({ TopicArn: `${topic}2` }) })),
      'topic-not-allowed',
    )
    assert.equal(codeOf(await judge(source, { body: message({}) }, NOW_MS + 3_601_000)), 'stale-timestamp')
  })

  it('fetches certificates from SNS alone', async () => {
    const { source, fetched } = fetching(settings, {})
    for (const SigningCertURL of [
      certificateUrl.replace('https', 'http'),
      certificateUrl.replace('.com/', '.com.evil.example/'),
      certificateUrl.replace('sns.', 'sns.evil.'),
      certificateUrl.replace('https://', 'https://user@'),
      certificateUrl.replace('.com/', '.com:8443/'),
      `${certificateUrl}?x=1`,
      'https://sns.eu-central-1.amazonaws.com/other.pem',
      'https://bucket.s3.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem',
      // The object store has hosts of this shape, and anybody may put a file there.
      certificateUrl.replace('eu-central-1', 's3-us-west-2'),
      certificateUrl.replace('eu-central-1', 's3-website-us-west-2'),
      // Another region speaks for none of the topics.
      certificateUrl.replace('eu-central-1', 'eu-west-1'),
      certificateUrl.replace('.com/', '.com.cn/'),
    ]) {
      assert.equal(
        codeOf(await judge(source, { body: message({ SigningCertURL }) })),
        'forbidden-key-url',
        SigningCertURL,
      )
    }
    assert.deepEqual(fetched, [])
  })

  it('knows one writing of a certificate’s address, and fetches no other', async () => {
    const { source, fetched } = fetching(settings, { [certificateUrl]: SIGNING_CERTIFICATE })
    assert.equal(codeOf(await judge(source, { body: message({}) })), 'verified')
    for (const SigningCertURL of [
      certificateUrl.replace('.com/', '.com/N/../'),
      certificateUrl.replace('.com/', '.com/./'),
      certificateUrl.replace('.com/', '.com//'),
      certificateUrl.replace('.com/', '.com:443/'),
      certificateUrl.replace('.com/', '.com\\'),
      certificateUrl.replace('.com/', '.com./'),
      certificateUrl.replace('https', 'HTTPS'),
      certificateUrl.replace('sns.', 'SNS.'),
      certificateUrl.replace('https://', 'https:\\\\'),
      certificateUrl.replace('https://', 'https:/'),
      certificateUrl.replace('https://', 'https://@'),
      certificateUrl.replace('Simple', '%53imple'),
      certificateUrl.replace('.pem', '%2Epem'),
      certificateUrl.replace('.pem', '.p\tem'),
      `${certificateUrl}?`,
      `${certificateUrl}#`,
      `${certificateUrl}/`,
      ` ${certificateUrl}`,
      `${certificateUrl}\n`,
    ]) {
      assert.equal(
        codeOf(await judge(source, { body: message({ SigningCertURL }) })),
        'forbidden-key-url',
        SigningCertURL,
      )
    }
    assert.deepEqual(fetched, [certificateUrl])
  })

  it('takes the host of the topic’s own region and partition', async () => {
    for (const [topicArn, host] of [
      ['arn:aws-cn:sns:cn-north-1:123456789012:T', 'sns.cn-north-1.amazonaws.com.cn'],
      ['arn:aws-us-gov:sns:us-gov-west-1:123456789012:T', 'sns.us-gov-west-1.amazonaws.com'],
      ['arn:aws-eusc:sns:eusc-de-east-1:123456789012:T', 'sns.eusc-de-east-1.amazonaws.eu'],
      ['arn:aws:sns:ap-southeast-3:123456789012:T.fifo', 'sns.ap-southeast-3.amazonaws.com'],
    ] as const) {
      const SigningCertURL = `https://${host}/SimpleNotificationService-01.pem`
      const both = { preset: 'sns', topicArns: [topic, topicArn] }
      const { source } = fetching(both, {
        [SigningCertURL]: SIGNING_CERTIFICATE,
        [certificateUrl]: SIGNING_CERTIFICATE,
      })
      const genuine = message({ TopicArn: topicArn, SigningCertURL })
      assert.equal(codeOf(await judge(source, { body: genuine })), 'verified', host)
      // The host of one topic does not speak for another, though both are on the list.
      const crossed = message({ TopicArn: topicArn })
      assert.equal(codeOf(await judge(source, { body: crossed })), 'forbidden-key-url', host)
    }
    for (const topicArn of [
      'orders',
      'arn:aws:sns:s3-us-west-2:1:t',
      'arn:aws:sqs:eu-west-1:1:t',
      'arn:x:sns:eu-west-1:1:t',
    ]) {
      assert.throws(() => sourceOf({ preset: 'sns', topicArns: [topicArn] }), /no topic's ARN/, topicArn)
    }
  })

  it('V4: no re-splitting of a signed text is another message', async () => {
    const { source } = fetching(settings, { [certificateUrl]: SIGNING_CERTIFICATE })
    const genuine: Record<string, string> = JSON.parse(
      message({ Message: 'x\nMessageId\nm2\nSubject\ny', MessageId: 'm1' }),
    )
    assert.equal(codeOf(await judge(source, { body: JSON.stringify(genuine) })), 'verified')
    // The same text, read with a subject that swallows the genuine id.
    const forged = { ...genuine, Message: 'x', MessageId: 'm2', Subject: 'y\nMessageId\nm1' }
    assert.equal(codeOf(await judge(source, { body: JSON.stringify(forged) })), 'ambiguous-text')
    for (const name of ['MessageId', 'Subject', 'Timestamp', 'TopicArn', 'Type']) {
      const body = message({ Subject: 's', [name]: `${name === 'Type' ? 'Notification' : 'a'}\nb` })
      assert.notEqual(codeOf(await judge(source, { body })), 'verified', name)
    }
  })

  it('takes no SHA-1 where the source switches signature version 1 off', async () => {
    const strict = fetching(
      { ...settings, signatureVersions: ['2'] },
      { [certificateUrl]: SIGNING_CERTIFICATE },
    )
    const version = (SignatureVersion: string) =>
      judge(strict.source, { body: message({ SignatureVersion }) })
    assert.equal(codeOf(await version('1')), 'unknown-signature-version')
    assert.equal(codeOf(await version('2')), 'verified')
    assert.throws(() => sourceOf({ ...settings, signatureVersions: ['3'] }), /must be one of 1, 2/)
  })

  it('believes what JSON says, also of a member that comes twice', async () => {
    const { source } = fetching(settings, { [certificateUrl]: SIGNING_CERTIFICATE })
    const genuine = message({})
    const twice = genuine.replace('{', '{"Message":"other",')
    assert.equal(codeOf(await judge(source, { body: twice })), 'verified')
    const after = genuine.replace(/}$/, ',"Message":"other"}')
    assert.equal(codeOf(await judge(source, { body: after })), 'wrong-signature')
    const nested = genuine.replace(/}$/, ',"Message":{"a":1}}')
    assert.equal(codeOf(await judge(source, { body: nested })), 'malformed-body')
  })

  it('is our fault, not the sender’s, while the certificate cannot be fetched', async () => {
    const { source } = fetching(settings, {})
    assert.equal((await judge(source, { body: message({}) })).kind, 'unavailable')
  })

  it('hands over the address that confirms a subscription only when it is proven and SNS’s own', async () => {
    const { source } = fetching(settings, { [certificateUrl]: SIGNING_CERTIFICATE })
    const address = `https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=${topic}&Token=t1`
    const confirmation = (fields: Record<string, string>) =>
      judge(source, {
        body: message({ Type: 'SubscriptionConfirmation', Token: 't1', ...fields }, CONFIRMATION),
      })
    const answer = await confirmation({ SubscribeURL: address })
    assert(answer.kind === 'challenge')
    assert.equal(answer.confirmUrl, address)
    for (const SubscribeURL of [
      address.replace('amazonaws.com', 'amazonaws.com.evil.example'),
      address.replace('Orders', 'Others'),
      address.replace('ConfirmSubscription', 'DeleteTopic'),
      address.replace('eu-central-1', 's3-us-west-2'),
      address.replace('eu-central-1', 'eu-west-1'),
      address.replace('.com/', '.com:443/'),
      address.replace('.com/', '.com/x/../'),
      address.replace('https', 'HTTPS'),
      `${address}&Action=DeleteTopic`,
      `${address}#`,
    ]) {
      assert.equal(codeOf(await confirmation({ SubscribeURL })), 'challenge-refused', SubscribeURL)
    }
    // A captured confirmation that is sent again and again makes few requests.
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => confirmation({ SubscribeURL: address })),
    )
    const confirmed = answers.filter(each => each.kind === 'challenge').length
    assert(confirmed > 0 && confirmed < 10, String(confirmed))
    const unsubscribed = { Type: 'UnsubscribeConfirmation', Token: 't1', SubscribeURL: address }
    assert.equal(codeOf(await judge(source, { body: message(unsubscribed, CONFIRMATION) })), 'verified')
  })
})

describe('PayPal', () => {
  const certificateUrl = 'https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594'
  const body = '{"id":"WH-1","event_type":"PAYMENT.SALE.COMPLETED"}'
  const time = '2027-01-01T00:00:00Z'
  const headersOf = (text: string, id = 'tx1') => ({
    'PAYPAL-TRANSMISSION-ID': id,
    'PAYPAL-TRANSMISSION-TIME': time,
    'PAYPAL-CERT-URL': certificateUrl,
    'PAYPAL-AUTH-ALGO': 'SHA256withRSA',
    'PAYPAL-TRANSMISSION-SIG': sign('sha256', Buffer.from(text), key).toString('base64'),
  })
  const { source } = fetching(
    { preset: 'paypal', webhookId: 'WID' },
    { [certificateUrl]: SIGNING_CERTIFICATE },
  )
  const headers = headersOf(`tx1|${time}|WID|${crc32(body)}`)

  it('binds id, time, our webhook and the CRC of the body', async () => {
    const verification = await judge(source, { headers, body })
    assert(verification.kind === 'verified')
    assert.equal(verification.delivery.verdict.senderId, 'WH-1')
    assert.equal(verification.delivery.verdict.identity, 'DIGEST')
    assert.equal(codeOf(await judge(source, { headers, body: `${body} ` })), 'wrong-signature')
    assert.equal(
      codeOf(await judge(source, { headers: { ...headers, 'PAYPAL-TRANSMISSION-ID': 'tx2' }, body })),
      'wrong-signature',
    )
    assert.equal(
      codeOf(await judge(source, { headers: { ...headers, 'PAYPAL-AUTH-ALGO': 'SHA1withRSA' }, body })),
      'wrong-algorithm',
    )
  })

  it('V6: a forged body of the same CRC is the same event', async () => {
    const one = await judge(source, { headers, body })
    assert(one.kind === 'verified')
    assert.deepEqual(one.delivery.verdict.signedParts, [`tx1|${time}|WID|${crc32(body)}`])
  })

  it('fetches certificates from PayPal alone', async () => {
    for (const url of [
      'https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1',
      'https://api.paypal.com/other/CERT-1',
      'http://api.paypal.com/v1/notifications/certs/CERT-1',
      'https://api.paypal.com/v1/notifications/x/../certs/CERT-1',
      'https://api.paypal.com:443/v1/notifications/certs/CERT-1',
      'HTTPS://api.paypal.com/v1/notifications/certs/CERT-1',
      'https://api.paypal.com\\v1/notifications/certs/CERT-1',
      'https://api.paypal.com/v1/notifications/certs/CERT-1?',
      'https://api.paypal.com/v1/notifications/certs/CERT-1#',
      'https://user@api.paypal.com/v1/notifications/certs/CERT-1',
      'https://api.paypal.com/v1/notifications/certs/%43ERT-1',
    ]) {
      assert.equal(
        codeOf(await judge(source, { headers: { ...headers, 'PAYPAL-CERT-URL': url }, body })),
        'forbidden-key-url',
        url,
      )
    }
  })
})

function token(claims: object, header: object, signer: (text: Buffer) => Buffer): string {
  const text = [header, claims].map(part => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
  return `${text}.${signer(Buffer.from(text)).toString('base64url')}`
}

describe('Pub/Sub', () => {
  const settings = {
    preset: 'pubsub',
    audience: 'https://hooks.example.com/in',
    email: ['push@p.iam.gserviceaccount.com'],
  }
  const url = 'https://www.googleapis.com/oauth2/v1/certs'
  const { source, fetched } = fetching(settings, { [url]: JSON.stringify({ k1: SIGNING_CERTIFICATE }) })
  const claims = {
    aud: settings.audience,
    iss: 'https://accounts.google.com',
    exp: NOW + 3600,
    iat: NOW,
    email: settings.email[0],
    email_verified: true,
  }
  const send = (changed: object, header: object = {}) => {
    const jwt = token({ ...claims, ...changed }, { alg: 'RS256', kid: 'k1', ...header }, text =>
      sign('sha256', text, key),
    )
    const body =
      '{"message":{"messageId":"7","attributes":{"eventType":"OBJECT_FINALIZE"}},"deliveryAttempt":2}'
    return judge(source, { headers: { Authorization: `Bearer ${jwt}` }, body })
  }

  it('wants our audience and the service account, verified', async () => {
    const verification = await send({})
    assert(verification.kind === 'verified')
    assert.equal(verification.delivery.verdict.senderId, '7')
    assert.equal(verification.delivery.verdict.type, 'OBJECT_FINALIZE')
    for (const changed of [
      { aud: 'other' },
      { iss: 'evil' },
      { email: 'other@p.iam.gserviceaccount.com' },
      { email_verified: false },
    ]) {
      assert.equal(codeOf(await send(changed)), 'wrong-claim', JSON.stringify(changed))
    }
    assert.equal(codeOf(await send({ exp: NOW - 60 })), 'stale-timestamp')
  })

  it('looks an unknown key up once a minute, not for every request', async () => {
    fetched.length = 0
    for (let i = 0; i < 3; i++) assert.equal(codeOf(await send({}, { kid: `unknown-${i}` })), 'unknown-key')
    assert(fetched.length <= 1)
  })

  it('has no other algorithm than RS256', async () => {
    assert.equal(codeOf(await send({}, { alg: 'HS256' })), 'wrong-algorithm')
    assert.equal(codeOf(await send({}, { alg: 'none' })), 'wrong-algorithm')
  })
})

describe('Plaid', () => {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const jwk = { ...pair.publicKey.export({ format: 'jwk' }), kid: 'k1', alg: 'ES256', expired_at: null }
  const url = 'https://sandbox.plaid.com/webhook_verification_key/get'
  const settings = { preset: 'plaid', clientId: 'c', environment: 'sandbox', secrets: ['s'] }
  const { source, fetched } = fetching(settings, { [url]: JSON.stringify({ key: jwk }) })
  const body = '{\n  "webhook_type": "ITEM",\n  "webhook_code": "ERROR"\n}'
  const jwtOf = (claims: object) =>
    token(
      { iat: NOW, request_body_sha256: createHash('sha256').update(body).digest('hex'), ...claims },
      { alg: 'ES256', kid: 'k1' },
      text => sign('sha256', text, { key: pair.privateKey, dsaEncoding: 'ieee-p1363' }),
    )

  it('binds the body and the time, with a key that is fetched once', async () => {
    const verification = await judge(source, { headers: { 'Plaid-Verification': jwtOf({}) }, body })
    assert(verification.kind === 'verified')
    assert.equal(verification.delivery.verdict.type, 'ITEM.ERROR')
    assert.equal(
      codeOf(await judge(source, { headers: { 'Plaid-Verification': jwtOf({}) }, body: `${body}\n` })),
      'body-not-bound',
    )
    assert.equal(
      codeOf(await judge(source, { headers: { 'Plaid-Verification': jwtOf({ iat: NOW - 301 }) }, body })),
      'stale-timestamp',
    )
    assert.deepEqual(fetched, [url])
  })

  it('asks Plaid for no more unknown keys than its rate allows, and goes on with the one it knows', async () => {
    const { source: flooded, fetched: asked } = fetching(
      { ...settings, keyLookups: { perSecond: 2, burst: 5 } },
      { [url]: JSON.stringify({ key: jwk }) },
    )
    const send = (kid: string, nowMs: number) => {
      const claims = { iat: NOW, request_body_sha256: createHash('sha256').update(body).digest('hex') }
      const jwt = token(claims, { alg: 'ES256', kid }, text =>
        sign('sha256', text, { key: kid === 'k1' ? pair.privateKey : stranger, dsaEncoding: 'ieee-p1363' }),
      )
      return judge(flooded, { headers: { 'Plaid-Verification': jwt }, body }, nowMs)
    }
    assert.equal(codeOf(await send('k1', NOW_MS)), 'verified')
    for (let i = 0; i < 2_000; i++) {
      const code = codeOf(await send(`forged-${i}`, NOW_MS + 5 * i))
      assert(code === 'wrong-signature' || code === 'key-unavailable', code)
      if (i % 100 === 0) assert.equal(codeOf(await send('k1', NOW_MS + 5 * i)), 'verified')
    }
    // 200 a second for ten seconds.
    assert(asked.length <= 5 + 2 * 10, String(asked.length))
  })

  it('refuses a key that Plaid has retired', async () => {
    const retired = { ...jwk, expired_at: NOW - 1 }
    const { source: later } = fetching(settings, { [url]: JSON.stringify({ key: retired }) })
    assert.equal(
      codeOf(await judge(later, { headers: { 'Plaid-Verification': jwtOf({}) }, body })),
      'expired-key',
    )
  })
})
