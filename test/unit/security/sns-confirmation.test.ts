/** The one address that a request may make the ingress fetch beside keys: SNS's confirmation of a subscription. */
import assert from 'node:assert/strict'
import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { type TestHandler, testHandler } from '../../support/handler.ts'
import { type Answer, send } from '../../support/ingress.ts'
import { SIGNING_CERTIFICATE, SIGNING_KEY } from '../../support/signing-certificate.ts'

const TOPIC = 'arn:aws:sns:eu-central-1:123456789012:Orders'
const CERTIFICATE_URL =
  'https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem'
const SUBSCRIBE_URL = `https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=${TOPIC}&Token=t1`
const SIGNED = ['Message', 'MessageId', 'SubscribeURL', 'Timestamp', 'Token', 'TopicArn', 'Type']

function confirmation(
  changes: Record<string, string> = {},
  key: KeyObject = createPrivateKey(SIGNING_KEY),
): Record<string, string> {
  const message: Record<string, string> = {
    Type: 'SubscriptionConfirmation',
    MessageId: 'm1',
    TopicArn: TOPIC,
    Message: 'You have chosen to subscribe',
    Timestamp: '2027-01-01T00:00:00.000Z',
    Token: 't1',
    SubscribeURL: SUBSCRIBE_URL,
    SignatureVersion: '2',
    SigningCertURL: CERTIFICATE_URL,
    ...changes,
  }
  const text = SIGNED.map(name => `${name}\n${message[name]}\n`).join('')
  return { ...message, Signature: sign('sha256', Buffer.from(text), key).toString('base64') }
}

describe('the confirmation of an SNS subscription', () => {
  let handler: TestHandler | undefined

  afterEach(() => handler?.close())

  /** Posts a message; gives the answer and what was fetched on its account. */
  async function post(
    message: object,
    confirm: () => Promise<string> = async () => '<ConfirmSubscriptionResponse/>',
  ): Promise<{ answer: Answer; fetched: string[]; published: readonly string[] }> {
    const fetched: string[] = []
    handler = await testHandler(
      { orders: { preset: 'sns', topicArns: [TOPIC] } },
      {
        fetchText: async url => {
          fetched.push(url)
          return url === CERTIFICATE_URL ? SIGNING_CERTIFICATE : confirm()
        },
      },
    )
    const answer = await send(`${handler.url}/orders`, { body: JSON.stringify(message) })
    handler.close()
    return { answer, fetched, published: handler.keys }
  }

  it('is fetched, once, for a proven message of an allowed topic, and is no event', async () => {
    const { answer, fetched, published } = await post(confirmation())
    assert.equal(answer.status, 200)
    assert.deepEqual(fetched, [CERTIFICATE_URL, SUBSCRIBE_URL])
    assert.deepEqual(published, [])
  })

  it('is never fetched for a forged message', async () => {
    const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
    const genuine = confirmation()
    for (const forged of [
      confirmation({}, stranger),
      { ...genuine, SubscribeURL: SUBSCRIBE_URL.replace('t1', 't2') },
      { ...genuine, Token: 't2' },
      { ...genuine, Signature: Buffer.alloc(256).toString('base64') },
    ]) {
      const { answer, fetched } = await post(forged)
      assert.equal(answer.status, 401)
      assert.equal(answer.json.code, 'wrong-signature')
      assert.deepEqual(fetched, [CERTIFICATE_URL])
    }
    const { Signature, ...unsigned } = genuine
    assert.deepEqual((await post(unsigned)).fetched, [], Signature)
  })

  it('is never fetched for a genuine message of a topic that is not on the list', async () => {
    const TopicArn = TOPIC.replace('123456789012', '666666666666')
    const SubscribeURL = SUBSCRIBE_URL.replace(TOPIC, TopicArn)
    const { answer, fetched } = await post(confirmation({ TopicArn, SubscribeURL }))
    assert.equal(answer.status, 403)
    assert.equal(answer.json.code, 'topic-not-allowed')
    assert.deepEqual(fetched, [CERTIFICATE_URL])
  })

  it('is never fetched from another host, for another action or another topic, even if all of it is signed', async () => {
    for (const SubscribeURL of [
      SUBSCRIBE_URL.replace('https:', 'http:'),
      SUBSCRIBE_URL.replace('amazonaws.com', 'amazonaws.com.evil.example'),
      SUBSCRIBE_URL.replace('sns.eu-central-1.amazonaws.com', '169.254.169.254'),
      SUBSCRIBE_URL.replace('sns.eu-central-1.amazonaws.com', '[::ffff:169.254.169.254]'),
      SUBSCRIBE_URL.replace('https://', 'https://sns.eu-central-1.amazonaws.com@evil.example/'),
      SUBSCRIBE_URL.replace('.com/', '.com:8443/'),
      SUBSCRIBE_URL.replace('.com/', '.com/latest/meta-data'),
      SUBSCRIBE_URL.replace('ConfirmSubscription', 'Unsubscribe'),
      SUBSCRIBE_URL.replace('Orders', 'Others'),
      'not a URL',
    ]) {
      const { answer, fetched } = await post(confirmation({ SubscribeURL }))
      assert.equal(answer.status, 403, SubscribeURL)
      assert.equal(answer.json.code, 'challenge-refused')
      assert.deepEqual(fetched, [CERTIFICATE_URL])
    }
  })

  it('is not fetched when a subscription ends: that would subscribe again', async () => {
    const { answer, fetched, published } = await post(confirmation({ Type: 'UnsubscribeConfirmation' }))
    assert.equal(answer.status, 200)
    assert.deepEqual(fetched, [CERTIFICATE_URL])
    assert.equal(published.length, 1)
  })

  it('that fails is answered with 503 and Retry-After, so that SNS sends it again', async () => {
    const { answer, published } = await post(confirmation(), async () => {
      throw new Error('connect ETIMEDOUT')
    })
    assert.equal(answer.status, 503)
    assert.equal(answer.json.code, 'handshake-failed')
    assert.ok(Number(answer.headers['retry-after']) >= 1)
    assert.equal(answer.text.includes('ETIMEDOUT'), false)
    assert.deepEqual(published, [])
  })

  it('that fails leaves its token out of the log, whatever the failure says', async () => {
    await post(confirmation(), async () => {
      throw new Error(`${SUBSCRIBE_URL} answered 403`)
    })
    const text = handler?.lines.join('') ?? ''
    assert.match(text, /a handshake failed/)
    assert.match(text, /sns\.eu-central-1\.amazonaws\.com answered 403/)
    assert.doesNotMatch(text, /Token=/)
  })
})
