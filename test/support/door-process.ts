/**
 * The front door without Kafka as a process of its own, whose memory can be read: takes settings of the ingress as its
 * argument, prints its URL, and ends with its standard input. For each line that comes in it collects its garbage, and
 * prints how many bytes it takes then (RSS).
 */
import { createInterface } from 'node:readline'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { testHandler } from './handler.ts'
import { SECRET } from './ingress.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
const scheme = { header: 'X-Webhook-Signature', algorithm: 'hmac-sha256', encoding: 'hex' } as const
const handler = await testHandler({ crm: { scheme, secrets: [SECRET] } }, { ingress: process.argv[2] ?? '' })
process.stdout.write(`${handler.url}\n`)
createInterface(process.stdin)
  .on('line', () => {
    collect()
    // What Buffers held is given back with their next collection.
    setImmediate(() => {
      collect()
      process.stdout.write(`${process.memoryUsage.rss()}\n`)
    })
  })
  .once('close', () => process.exit())
