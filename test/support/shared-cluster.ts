import type { Connection } from '@sallyport/core/connection'
import { type Cluster, startCluster } from './cluster.ts'

let starting: Promise<Cluster> | undefined

/**
 * One broker and one registry for every suite of this mocha run: started for the first that asks, ended after the
 * last. A suite that breaks brokers starts a cluster of its own instead.
 */
export async function sharedCluster(): Promise<Connection> {
  starting ??= startCluster({ brokers: 1 })
  const { brokers, registryUrl } = await starting
  return { brokers, registryUrl }
}

// Registered while mocha loads the test files, outside any suite, hence after all of them.
after(async function endSharedCluster() {
  this.timeout(60_000)
  const cluster = await starting?.catch(() => undefined)
  await cluster?.stop()
})
