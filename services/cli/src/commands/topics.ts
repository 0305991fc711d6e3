import { connectionFromEnvironment } from '@sallyport/core/connection'
import { alterTopics, ensureTopics } from '@sallyport/core/kafka/admin'
import { createKafka } from '@sallyport/core/kafka/client'
import { createLog } from '@sallyport/core/log'
import { loadSettings } from '@sallyport/core/settings'
import type { TopicSpec } from '@sallyport/core/topics'
import { loadProcessors, processorProvision } from '@sallyport/processor/config'
import type { Command } from 'commander'

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
  const processors = await loadProcessors(settings)
  const specs = new Map<string, TopicSpec>()
  for (const processor of processors) {
    for (const spec of processorProvision(settings, processor).topics) specs.set(spec.name, spec)
  }
  const changed = await alterTopics(kafka, [...specs.values()])
  await ensureTopics(kafka, [...specs.values()])
  for (const { topic, setting, found, wanted } of changed)
    console.log(`${topic}: ${setting} ${found} → ${wanted}`)
  console.log(`${specs.size} topics are as ${settings.file} says`)
}
