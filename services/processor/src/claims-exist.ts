import { SallyportError } from '@sallyport/core/errors'
import { hasCommitted, topicNames, withAdmin } from '@sallyport/core/kafka/admin'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import type { ProcessorConfig } from './config.ts'

/**
 * Throws `SP_CLAIMS_MISSING` when the claims topic is gone although the processor has run: creating it silently would
 * forget what took effect within the window. An operator who accepts that creates it.
 */
export async function checkClaimsExist(
  processor: ProcessorConfig,
  kafka: Parameters<typeof withAdmin>[0],
): Promise<void> {
  const { claims } = processor.topics
  const hasRun = await withAdmin(kafka, async admin => {
    const names = new Set(await topicNames(admin))
    return (
      !names.has(claims) &&
      names.has(EVENTS_TOPIC) &&
      (await hasCommitted(admin, processor.groupId, EVENTS_TOPIC))
    )
  })
  if (!hasRun) return
  throw new SallyportError(
    'SP_CLAIMS_MISSING',
    `${claims} is gone, although ${processor.name} has run: somebody deleted it. To go on, accept that ids of the last window may take effect again, and run: npx sallyport topics apply. Events go on from the group's offsets`,
  )
}
