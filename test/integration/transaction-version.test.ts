/** Clusters of either transaction protocol, for tests of what transacts. */
import assert from 'node:assert/strict'
import { apiVersionsV4, Connection } from '@platformatic/kafka'
import { type Cluster, startCluster } from '../support/cluster.ts'

describe('a cluster of a chosen transaction.version', function () {
  this.timeout(150_000)
  let cluster: Cluster | undefined
  afterEach(() => cluster?.stop())

  /** The level that a new cluster has finalised. */
  async function finalisedLevel(transactionVersion?: 1 | 2): Promise<number | undefined> {
    cluster = await startCluster({
      brokers: 1,
      withRegistry: false,
      ...(transactionVersion === undefined ? {} : { transactionVersion }),
    })
    const [host, port] = (cluster.brokers[0] as string).split(':')
    const connection = new Connection('test')
    try {
      await connection.connect(host as string, Number(port))
      const { finalizedFeatures } = await apiVersionsV4.api.async(connection, 'test', '1')
      return finalizedFeatures?.find(({ name }) => name === 'transaction.version')?.maxVersionLevel
    } finally {
      await connection.close()
    }
  }

  for (const transactionVersion of [1, 2] as const) {
    it(`begins with ${transactionVersion}`, async () => {
      assert.equal(await finalisedLevel(transactionVersion), transactionVersion)
    })
  }

  it('begins with the newest when none is asked for', async () => {
    assert.equal(await finalisedLevel(), 2)
  })
})
