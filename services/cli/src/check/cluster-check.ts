/** Checks that ask the brokers and the registry. Each gives findings, and none keeps the others from running. */
import type { Connection } from '@sallyport/core/connection'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import { inspectTopics } from '@sallyport/core/kafka/admin'
import { createKafka } from '@sallyport/core/kafka/client'
import { clockSkewMs, clusterFacts } from '@sallyport/core/kafka/cluster-check'
import { createRegistry } from '@sallyport/core/kafka/registry'
import { ProducerCluster } from '@sallyport/core/kafka/transactions/producer-cluster'
import { type Provision, sharedProvision } from '@sallyport/core/provision'
import type { Settings } from '@sallyport/core/settings'
import { commandLog } from '../kafka-options.ts'
import { provisionOf } from '../provision-of.ts'
import { type Finding, ok, problem, warning } from './finding.ts'
import { checkOperations } from './operations-check.ts'

/** Brokers below which a lost one loses data or stops the line. */
const BROKERS_WANTED = 3
const SKEW_MS_MAX = 2_000

type Kafka = ReturnType<typeof createKafka>

export async function checkCluster(settings: Settings, connection: Connection): Promise<Finding[]> {
  const kafka = createKafka(connection, 'sallyport-doctor', commandLog('doctor'))
  const brokers = await checkBrokers(kafka, connection)
  const reachable = brokers.every(({ state }) => state !== 'problem')
  const wanted = await wantedOf(settings)
  const asked = reachable
    ? [
        checkTransactions(connection),
        checkClock(kafka),
        checkTopics(kafka, wanted),
        checkOperations(connection),
      ]
    : []
  const rest = await Promise.all([...asked, checkSchemas(wanted, connection)])
  return [...brokers, ...rest.flat()]
}

/** What the cluster should hold. */
interface Wanted extends Provision {
  /** Said where it is not all. */
  readonly but: string
}

/** Where a processor does not load, which the check of the settings tells, what all services share is asked for still. */
async function wantedOf(settings: Settings): Promise<Wanted> {
  try {
    return { ...(await provisionOf(settings)), but: '' }
  } catch (error) {
    if (!(error instanceof SallyportError)) throw error
    return { ...sharedProvision(settings), but: '; those of the processors are not known, see processors' }
  }
}

async function checkBrokers(kafka: Kafka, connection: Connection): Promise<Finding[]> {
  const about = 'brokers'
  try {
    const { brokers, release } = await clusterFacts(kafka)
    const count = `${brokers} ${brokers === 1 ? 'broker answers' : 'brokers answer'}`
    const version =
      release === undefined
        ? warning('kafka', 'is older than 3.3 or runs ZooKeeper: this was never tried, upgrade it')
        : ok('kafka', `${release} or newer`)
    if (brokers >= BROKERS_WANTED) return [ok(about, count), version]
    const advice = `${count} at ${connection.brokers.join(', ')}: enough to try things, but one that dies takes records with it; production wants ${BROKERS_WANTED}`
    return [warning(about, advice), version]
  } catch (error) {
    return [problem(about, error)]
  }
}

/** Which protocol transactions use here. */
async function checkTransactions(connection: Connection): Promise<Finding[]> {
  const about = 'transactions'
  const producers = new ProducerCluster(connection, 'sallyport-doctor')
  try {
    const { version } = await producers.abilities()
    if (version === 2) return [ok(about, 'version 2: each end gives the next one its epoch')]
    return [
      ok(
        about,
        'version 1: each asks for an epoch of its own first; Kafka 4.2 with transaction.version 2 saves that',
      ),
    ]
  } catch (error) {
    return [warning(about, `their version is not known: ${errorMessage(error)}`)]
  } finally {
    await producers.close()
  }
}

async function checkClock(kafka: Kafka): Promise<Finding[]> {
  const about = 'clock'
  try {
    const skewMs = Math.round(await clockSkewMs(kafka))
    const side = skewMs > 0 ? 'ahead of' : 'behind'
    const text = `the brokers’ clock is ${Math.abs(skewMs)} ms ${side} this machine’s`
    if (Math.abs(skewMs) <= SKEW_MS_MAX) return [ok(about, text)]
    return [
      warning(
        about,
        `${text}: set both by NTP. Windows and retries follow the brokers; senders’ timestamps are judged by the ingress’s clock`,
      ),
    ]
  } catch (error) {
    return [warning(about, `cannot be compared: ${errorMessage(error)}`)]
  }
}

async function checkTopics(kafka: Kafka, { topics, but }: Wanted): Promise<Finding[]> {
  const about = 'topics'
  try {
    const { missing, differences } = await inspectTopics(kafka, topics)
    const findings: Finding[] = differences.map(({ topic, setting, wanted, found }) => {
      const remedy =
        setting === 'partitions'
          ? 'set topics.partitions to what exists, or npx sallyport topics grow'
          : 'npx sallyport topics apply'
      return {
        about: `topic ${topic}`,
        state: 'problem',
        text: `${setting} is ${found}, settings say ${wanted}: ${remedy}`,
        code: setting === 'partitions' ? 'SP_PARTITION_COUNT' : 'SP_TOPIC_MISMATCH',
      }
    })
    if (missing.length > 0) {
      findings.push(
        warning(
          about,
          `${missing.length} of ${topics.length} are not there yet (${missing[0]} …): the services create them, or npx sallyport topics apply${but}`,
        ),
      )
    }
    return findings.length > 0 ? findings : [ok(about, `${topics.length} are as the settings say${but}`)]
  } catch (error) {
    return [problem(about, error)]
  }
}

async function checkSchemas({ schemas, but }: Wanted, connection: Connection): Promise<Finding[]> {
  const about = 'registry'
  try {
    const registry = createRegistry(connection.registryUrl)
    const standings = await Promise.all(
      Object.entries(schemas).map(async ([subject, schema]) => ({
        subject,
        standing: await registry.check(subject, schema),
      })),
    )
    const refused = standings.flatMap(({ subject, standing }) =>
      standing.kind === 'incompatible' ? [{ subject, reason: standing.reason }] : [],
    )
    if (refused.length === 0) return [ok(about, `answers; ${standings.length} schemas are compatible${but}`)]
    return refused.map(({ subject, reason }) =>
      problem(
        `schema ${subject}`,
        new SallyportError('SP_SCHEMA_INCOMPATIBLE', `${reason}: make the change backward compatible`),
      ),
    )
  } catch (error) {
    return [problem(about, error)]
  }
}
