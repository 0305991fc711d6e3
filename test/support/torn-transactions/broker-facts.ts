/** What single brokers know of a cluster, asked until they know it. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Connection, findCoordinatorV4, metadataV12 } from '@platformatic/kafka'

/** FindCoordinator's key type. */
const TRANSACTION = 1
const TRIES_MAX = 150
const PAUSE_MS = 200

/** The node id of the broker that coordinates a transactional id. */
export async function transactionCoordinator(broker: string, transactionalId: string): Promise<number> {
  return await askUntilKnown(broker, async connection => {
    const { coordinators } = await findCoordinatorV4.api.async(connection, TRANSACTION, [transactionalId])
    return coordinators.find(({ errorCode }) => errorCode === 0)?.nodeId
  })
}

/** Waits until a broker knows these topics, and who leads each of their partitions. */
export async function untilLed(broker: string, names: readonly string[]): Promise<void> {
  await askUntilKnown(broker, async connection => {
    const { topics } = await metadataV12.api.async(connection, [...names], false, false)
    const isKnown = topics.every(({ partitions }) => partitions.every(({ leaderId }) => leaderId > 0))
    return isKnown && topics.length === names.length ? true : undefined
  })
}

async function askUntilKnown<T>(
  broker: string,
  ask: (connection: Connection) => Promise<T | undefined>,
): Promise<T> {
  const [host, port] = broker.split(':')
  const connection = new Connection('test')
  await connection.connect(host as string, Number(port))
  try {
    let trouble: unknown
    for (let tries = 1; tries <= TRIES_MAX; tries++) {
      try {
        const known = await ask(connection)
        if (known !== undefined) return known
      } catch (error) {
        trouble = error
      }
      await sleep(PAUSE_MS)
    }
    throw new Error(`${broker} does not know what it was asked for`, { cause: trouble })
  } finally {
    await connection.close()
  }
}
