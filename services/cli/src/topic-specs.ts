import type { Settings } from '@sallyport/core/settings'
import type { TopicSpec } from '@sallyport/core/topics'
import { loadProcessors, processorProvision } from '@sallyport/processor/config'

/** Every topic that the settings ask for: the shared ones and those of all processors. */
export async function topicSpecs(settings: Settings): Promise<TopicSpec[]> {
  const specs = new Map<string, TopicSpec>()
  for (const processor of await loadProcessors(settings)) {
    for (const spec of processorProvision(settings, processor).topics) specs.set(spec.name, spec)
  }
  return [...specs.values()]
}
