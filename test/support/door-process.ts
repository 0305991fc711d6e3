/**
 * The front door without Kafka as a process of its own, whose memory can be read: takes settings of the ingress as its
 * argument, prints its URL, and ends with its standard input.
 */
import { testHandler } from './handler.ts'
import { SECRET } from './ingress.ts'

const scheme = { header: 'X-Webhook-Signature', algorithm: 'hmac-sha256', encoding: 'hex' } as const
const handler = await testHandler({ crm: { scheme, secrets: [SECRET] } }, { ingress: process.argv[2] ?? '' })
process.stdout.write(`${handler.url}\n`)
process.stdin.resume()
process.stdin.once('end', () => process.exit())
