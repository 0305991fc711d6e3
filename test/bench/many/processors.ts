/**
 * Many processors in one process, measured from within: `node processors.ts BROKERS REGISTRY PROCESSORS PARTITIONS`. Tells
 * its parent what it sees; ends when its parent goes.
 */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { SharedConnections } from '@sallyport/core/kafka/transactions/shared-connections'
import { createLog } from '@sallyport/core/log'
import { claimsHeld } from '@sallyport/core/metrics'
import { loadSettings } from '@sallyport/core/settings'
import { defineProcessor } from '@sallyport/processor'
import { configure } from '@sallyport/processor/config'
import { runProcessors } from '@sallyport/processor/main'

const [brokers, registryUrl, processors, partitions] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
]
const LOOK_MS = 100

export interface Seen {
  /** Partitions that are acquired, of all processors. */
  readonly acquired: number
  readonly handled: number
  readonly cpuMs: number
  readonly rssMiB: number
  /** Connections that transactions have used and that are open. */
  readonly connections: number
  /** Stays in a group that failed. */
  readonly failures: number
}

/** Connections of the transactional producers. */
function watchConnections(): () => number {
  const seen = new Set<{ isConnected(): boolean }>()
  const { use } = SharedConnections.prototype
  SharedConnections.prototype.use = async function (broker, request) {
    return (await use.call(this, broker, connection => {
      seen.add(connection)
      return request(connection)
    })) as never
  }
  return () => [...seen].filter(connection => connection.isConnected()).length
}

const connections = watchConnections()
let handled = 0
let failures = 0
const log = createLog('many', {
  write(line) {
    if (line.includes('left the group')) failures++
  },
})
const file = path.join(mkdtempSync(path.join(tmpdir(), 'sallyport-many-')), 'sallyport.yaml')
writeFileSync(
  file,
  `topics: { partitions: ${partitions} }
sources:
  crm:
    scheme: { header: X-Webhook-Signature, algorithm: hmac-sha256, encoding: hex }
    secrets: ['\${env:CRM_WEBHOOK_SECRET}']
`,
)
const settings = loadSettings(file, {})
const configs = Array.from({ length: Number(processors) }, (_, i) =>
  configure(
    defineProcessor({
      name: `many-${i}`,
      sources: [`source-${i}`],
      handler: () => {
        handled++
      },
    }),
    {},
  ),
)
runProcessors(configs, settings, { brokers: brokers.split(','), registryUrl }, log)
process.on('disconnect', () => process.exit(0))
setInterval(async () => {
  const { values } = await claimsHeld.get()
  const { user, system } = process.cpuUsage()
  const seen: Seen = {
    acquired: values.length,
    handled,
    cpuMs: (user + system) / 1_000,
    rssMiB: process.memoryUsage.rss() / 2 ** 20,
    connections: connections(),
    failures,
  }
  process.send?.(seen)
}, LOOK_MS)
