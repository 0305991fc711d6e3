/**
 * Salesforce outbound messages: SOAP without a signature. What a source can check is a token of our own in the
 * address (`?token=`) and the organisation's id; mutual TLS in front of Sallyport is the sender's own answer.
 * Facts: Salesforce outbound messaging documentation. A bare 200 is sent again: the answer must be an Ack.
 */
import { equalBytes } from './compare.ts'
import type { SchemeContext } from './context.ts'
import { asLabel } from './location.ts'
import { reject } from './rejections.ts'
import { BODY_ALONE, bodyParts, coversNothing, type Outcome, type Verifier } from './verifier.ts'

const HEAD_BYTES = 4096

/** The answer that stops Salesforce from sending again. */
export const SALESFORCE_ACK =
  '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse></soapenv:Body></soapenv:Envelope>'

export function salesforceOutbound(context: SchemeContext): Verifier {
  const organizations = new Set(context.texts('organizationIds'))
  const expected = context
    .keys()
    .map(({ text, secretIndex }) => ({ bytes: Buffer.from(text, 'utf8'), secretIndex }))
  return {
    proof: [],
    requestLine: BODY_ALONE,
    authenticate(reading): Outcome {
      const token = reading.queryField('token')
      if (token === null || token === '') return reject('missing-signature', 'The URL has no token.')
      const given = Buffer.from(token, 'utf8')
      const matched = expected.find(({ bytes }) => equalBytes(given, bytes))
      if (matched === undefined) return reject('wrong-token')
      const { body } = reading.request
      const head = body.subarray(0, HEAD_BYTES).toString('utf8')
      const organization = /<OrganizationId>([A-Za-z0-9]{15,18})<\/OrganizationId>/.exec(head)?.[1]
      if (organization === undefined) return reject('malformed-body', 'There is no OrganizationId.')
      if (!organizations.has(organization))
        return reject('wrong-claim', 'The OrganizationId is not on the list.')
      const id = /<Notification>\s*<Id>([A-Za-z0-9]{15,18})<\/Id>/.exec(head)?.[1]
      const type = /<sObject [^>]*xsi:type="(?:[A-Za-z0-9]+:)?([A-Za-z0-9_]{1,100})"/.exec(head)?.[1]
      return {
        kind: 'authentic',
        secretIndex: matched.secretIndex,
        sentAt: null,
        signedParts: bodyParts(body, ''),
        covers: coversNothing,
        id: asLabel(id),
        type: asLabel(type),
      }
    },
  }
}
