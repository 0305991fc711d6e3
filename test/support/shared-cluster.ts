import { type Cluster, startCluster } from './cluster.ts'

let cluster: Promise<Cluster> | undefined

/** One broker and a registry for all test files of this mocha process; stopped behind the last test. */
export function sharedCluster(): Promise<Cluster> {
  cluster ??= startCluster({ brokers: 1 })
  return cluster
}

// Imported while mocha loads the files, so this is a hook of the root suite.
after(async function () {
  this.timeout(30_000)
  await (await cluster)?.stop()
})
