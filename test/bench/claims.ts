/**
 * `npm run bench:claims [-- --short]`: what it costs to remember event ids.
 *
 *   store     for a partition that grows to N ids: CPU of a look-up and a new claim, bytes an id, the longest call
 *   restore   one partition of N claims: from the topic, and from this host's checkpoint; from the owner's barrier to
 *             the first record that it could process
 *
 * The store is measured in this process, restores in `sallyport processor` as shipped, against one local broker.
 */
import { cpus } from 'node:os'
import { startCluster } from '../support/cluster.ts'
import { scriptOptions } from '../support/script-options.ts'
import { restoreCosts } from './claims/restore.ts'
import { storeCosts } from './claims/store.ts'

async function main(): Promise<void> {
  const { short } = scriptOptions(import.meta.url, { short: { type: 'boolean', default: false } })
  const sizes = short ? [10_000, 100_000, 1_000_000] : [10_000, 100_000, 1_000_000, 5_000_000]
  console.log('ids in a partition   CPU µs/event   bytes/id   longest call, ms')
  for (const { claims, cpuMicros, bytesPerId, longestMs } of storeCosts(sizes)) {
    const figures = [cpuMicros.toFixed(2).padStart(15), bytesPerId.toFixed(1).padStart(11)]
    console.log(`${String(claims).padStart(18)}${figures.join('')}${longestMs.toFixed(1).padStart(19)}`)
  }
  const cluster = await startCluster({ brokers: 1 })
  try {
    console.log('claims   from the topic, ms   claims/s   from the checkpoint, ms (records)')
    for (const row of await restoreCosts(cluster, sizes.slice(1))) {
      const { claims, topicMs, topicPerSecond, checkpointMs, checkpointRecords } = row
      console.log(
        `${claims}   ${Math.round(topicMs)}   ${Math.round(topicPerSecond)}   ${Math.round(checkpointMs)} (${checkpointRecords})`,
      )
    }
  } finally {
    await cluster.stop()
  }
  console.log(`\n${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}`)
}

await main()
process.exit()
