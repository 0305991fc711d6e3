import type { Settings } from '@sallyport/core/settings'
import type { ProcessorConfig } from './config.ts'

/** What the processes of one processor should agree on, as a text that members of the group tell each other. */
export function memberSettings(processor: ProcessorConfig, settings: Settings): string {
  return JSON.stringify({
    version: processor.version,
    sources: processor.sources === null ? null : [...processor.sources].sort(),
    retry: processor.delaysMs,
    timeout: processor.timeoutMs,
    outputs: [...processor.outputs].map(([topic, { name }]) => `${topic}: ${name}`).sort(),
    window: settings.windowMs,
  })
}

/** The names of the settings in which members differ. */
export function differingSettings(members: readonly string[]): string[] {
  const parsed = members.map(parse)
  const names = new Set(parsed.flatMap(Object.keys))
  return [...names].filter(name => new Set(parsed.map(member => JSON.stringify(member[name]))).size > 1)
}

/** A member of another version may tell anything. */
function parse(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>
  } catch {
    return {}
  }
}
