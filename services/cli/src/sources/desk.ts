/** What `sallyport sources` works with: the source, its settings, and the topic of learnt secrets. */
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import { withAdmin } from '@sallyport/core/kafka/admin'
import { createKafka } from '@sallyport/core/kafka/client'
import { PartitionReader } from '@sallyport/core/kafka/partition-reader'
import { createRegistry } from '@sallyport/core/kafka/registry'
import { ProducerCluster } from '@sallyport/core/kafka/transactions/producer-cluster'
import { loadSettings, type Settings } from '@sallyport/core/settings'
import { SourceSecretLog } from '@sallyport/core/source-secret-log'
import { type LearntSecret, ownerOf } from '@sallyport/core/source-secrets'
import { SOURCE_SECRETS_TOPIC } from '@sallyport/core/topics'
import { sealingKeys } from '@sallyport/ingress/config'
import { NothingError } from '../exit.ts'
import { interruptible } from '../interruption.ts'
import { commandLog, connectionOf, type KafkaOptions } from '../kafka-options.ts'

export interface SourceOptions extends KafkaOptions {
  readonly config: string
  readonly json: boolean
}

export interface SourceDesk {
  readonly settings: Settings
  readonly secrets: SourceSecretLog
}

/**
 * Does something about a source that learns its secret. Throws `SP_SETTINGS` where it does not, and `SP_TOPIC_MISMATCH`
 * where the topic was never made.
 */
export async function atSource(
  name: string,
  options: SourceOptions,
  work: (desk: SourceDesk, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const settings = loadSettings(options.config, process.env)
  checkSource(settings, name)
  const connection = connectionOf(options, process.env)
  await interruptible(async signal => {
    const kafka = createKafka(connection, 'sallyport-operator', commandLog('sources'))
    if (!(await withAdmin(kafka, admin => admin.listTopics())).includes(SOURCE_SECRETS_TOPIC)) {
      throw new SallyportError(
        'SP_TOPIC_MISMATCH',
        `${SOURCE_SECRETS_TOPIC} does not exist on ${connection.brokers.join(',')}. Run: npx sallyport topics apply`,
      )
    }
    const reader = new PartitionReader(connection, 'sallyport-operator')
    const producers = new ProducerCluster(connection, 'sallyport-operator')
    try {
      const registry = createRegistry(connection.registryUrl)
      const secrets = new SourceSecretLog({ reader, registry, producers })
      await work({ settings, secrets }, signal)
    } finally {
      await Promise.all([reader.close(), producers.close()])
    }
  })
}

function checkSource({ file, sources }: Settings, name: string): void {
  const entry = Object.hasOwn(sources, name) ? sources[name] : undefined
  if (entry === undefined) {
    throw new NothingError(`${file} has no source ${name}: it has ${Object.keys(sources).join(', ')}`)
  }
  if (entry.awaitSecret === true) return
  throw new SallyportError(
    'SP_SETTINGS',
    `sources.${name} learns no secret: set awaitSecret: true, which presets take whose sender offers one`,
  )
}

/** A learnt secret in clear. Throws `SP_SETTINGS` where no key here opens it. */
export function openSecret(settings: Settings, learnt: LearntSecret): string {
  let secret: string | undefined
  let why = 'its key is not among them'
  try {
    secret = sealingKeys(settings, process.env)?.open(learnt, ownerOf(learnt))
  } catch (error) {
    why = errorMessage(error)
  }
  if (secret !== undefined) return secret
  throw new SallyportError('SP_SETTINGS', `the secret cannot be opened with ingress.sealingKeys here: ${why}`)
}
