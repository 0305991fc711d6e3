import { loadSettings } from '@sallyport/core/settings'
import { loadProcessors } from '@sallyport/processor/config'
import type { Command } from 'commander'
import { UsageError } from '../exit.ts'
import { processorMeant } from '../operations/desk.ts'
import { declareOrigin, declareTimes } from '../operations/filter-options.ts'
import { declareOperation, type OperateOptions, operate } from '../operations/operate.ts'
import { commandText, type Filters, selectionOf } from '../operations/selection.ts'

interface ReplayOptions extends OperateOptions, Pick<Filters, 'source' | 'type' | 'from' | 'to'> {
  readonly processor?: string
  readonly config: string
}

const EXAMPLES = `
Examples:
  sallyport replay --processor ticket-agent --from 2h                       the plan; nothing is done
  sallyport replay --processor ticket-agent --from 2026-11-24T08:00:00Z --to 2026-11-24T09:00:00Z --type ticket.closed --yes
  sallyport replay --resume 121 --yes                                       go on after a crash or Ctrl-C`

/** `sallyport replay`: past events run again at one processor. */
export function register(program: Command): void {
  const command = program
    .command('replay')
    .description('run past events again at one processor: the plan, then --yes')
    .option('-p, --processor <name>', 'the processor that runs them again')
    .option(
      '-c, --config <file>',
      'settings file, for the sources that the processor takes',
      'sallyport.yaml',
    )
    .addHelpText('after', EXAMPLES)
  declareOperation(declareTimes(declareOrigin(command), 'accepted'), true).action(replay)
}

async function replay(options: ReplayOptions): Promise<void> {
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
