import type { AvroSchema } from '@sallyport/core/codec'
import type { Provision } from '@sallyport/core/provision'
import { sharedProvision } from '@sallyport/core/provision'
import type { Settings } from '@sallyport/core/settings'
import type { TopicSpec } from '@sallyport/core/topics'
import { loadProcessors, processorProvision } from '@sallyport/processor/config'

/** Every topic and schema that the settings ask for: the shared ones and those of all processors. */
export async function provisionOf(settings: Settings): Promise<Provision> {
  const processors = settings.processors.length === 0 ? [] : await loadProcessors(settings)
  const parts = [
    sharedProvision(settings),
    ...processors.map(processor => processorProvision(settings, processor)),
  ]
  const topics = new Map<string, TopicSpec>()
  const schemas: Record<string, AvroSchema> = {}
  for (const part of parts) {
    for (const spec of part.topics) topics.set(spec.name, spec)
    Object.assign(schemas, part.schemas)
  }
  return { topics: [...topics.values()], schemas }
}
