import type { Command } from 'commander'
import { declareOrigin, declareTimes } from '../operations/filter-options.ts'
import { declareOperation } from '../operations/operate-options.ts'

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
  declareOperation(declareTimes(declareOrigin(command), 'accepted'), true).action(
    async options => await (await import('../operations/replay.ts')).replay(options),
  )
}
