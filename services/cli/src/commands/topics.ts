import { connectionFromEnvironment } from '@sallyport/core/connection'
import { alterTopics, ensureTopics } from '@sallyport/core/kafka/admin'
import { createKafka } from '@sallyport/core/kafka/client'
import { createLog } from '@sallyport/core/log'
import { loadSettings } from '@sallyport/core/settings'
import type { Command } from 'commander'
import { topicSpecs } from '../topic-specs.ts'

interface TopicsOptions {
  readonly config: string
}

/** `sallyport topics apply`: makes the topics what the settings say. */
export function register(program: Command): void {
  program
    .command('topics')
    .description('the topics of the settings file')
    .command('apply')
    .description('create missing topics and set the configuration of existing ones (KAFKA_BROKERS)')
    .option('-c, --config <file>', 'settings file', 'sallyport.yaml')
    .action(apply)
}

async function apply(options: TopicsOptions): Promise<void> {
  const settings = loadSettings(options.config, process.env)
  const kafka = createKafka(connectionFromEnvironment(process.env), 'sallyport-topics', createLog('topics'))
  const specs = await topicSpecs(settings)
  const changed = await alterTopics(kafka, specs)
  await ensureTopics(kafka, specs)
  for (const { topic, setting, found, wanted } of changed)
    console.log(`${topic}: ${setting} ${found} → ${wanted}`)
  console.log(`${specs.length} topics are as ${settings.file} says`)
}
