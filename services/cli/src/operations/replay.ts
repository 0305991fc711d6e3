import { loadSettings } from '@sallyport/core/settings'
import { loadProcessors } from '@sallyport/processor/config'
import { UsageError } from '../exit.ts'
import { processorMeant } from './desk.ts'
import { operate } from './operate.ts'
import type { OperateOptions } from './operate-options.ts'
import { commandText, type Filters, selectionOf } from './selection.ts'

interface ReplayOptions extends OperateOptions, Pick<Filters, 'source' | 'type' | 'from' | 'to'> {
  readonly processor?: string
  readonly config: string
}

/** `sallyport replay`. */
export async function replay(options: ReplayOptions): Promise<void> {
  await operate('REPLAY', options, async desk => {
    const { processor: named, from, to, source, type } = options
    if (named === undefined || from === undefined) {
      throw new UsageError('name the processor with --processor, and where to begin with --from')
    }
    if (to !== undefined && to.at <= from.at) throw new UsageError('--to is not after --from')
    const processor = processorMeant(desk, named)
    const filters = { from, ...(to && { to }), ...(source && { source }), ...(type && { type }) }
    const sources = await sourcesOf(processor, options)
    return {
      processor,
      selection: { ...selectionOf(filters), sources },
      command: commandText('REPLAY', processor, filters),
    }
  })
}

/** The sources to replay: what the processor does not take would pass through its lane for nothing. */
async function sourcesOf(processor: string, { source, config }: ReplayOptions): Promise<readonly string[]> {
  const [{ sources } = { sources: null }] = await loadProcessors(loadSettings(config, process.env), [
    processor,
  ])
  const foreign = sources === null ? [] : (source ?? []).filter(name => !sources.has(name))
  if (foreign.length > 0) {
    throw new UsageError(
      `${processor} takes no events of ${foreign.join(', ')}, only of ${[...(sources ?? [])].join(', ')}`,
    )
  }
  return source ?? [...(sources ?? [])]
}
