import type { AuditRecord } from '@sallyport/core/audit'
import type { Command } from 'commander'
import { interruptible } from '../interruption.ts'
import { commandLog, connectionOf, declareKafkaOptions, type KafkaOptions } from '../kafka-options.ts'
import { openDesk, processorMeant } from '../operations/desk.ts'
import { thisOperator } from '../operations/operator.ts'
import { print, printDocument } from '../output.ts'

interface PauseOptions extends KafkaOptions {
  readonly why?: string
  readonly json?: boolean
}

/** `sallyport pause|resume PROCESSOR`: whether a processor takes records, wherever it runs and however it restarts. */
export function register(program: Command): void {
  declare(program, 'PAUSE', 'begin no more attempts; those under way end, and what arrives waits')
  declare(program, 'RESUME', 'take records again after sallyport pause')
}

function declare(program: Command, kind: 'PAUSE' | 'RESUME', description: string): void {
  const name = kind.toLowerCase()
  const command = program
    .command(name)
    .description(`${description}; at every process of the processor, restarts included`)
    .argument('<processor>', 'name of the processor')
    .option('--why <text>', 'the reason, for the audit')
    .option('--json', 'one JSON document')
    .addHelpText('after', `\nExample:\n  sallyport ${name} ticket-agent --why 'the CRM moves house'`)
  declareKafkaOptions(command).action((processor: string, options: PauseOptions) =>
    setIntake(kind, processor, options),
  )
}

async function setIntake(kind: 'PAUSE' | 'RESUME', named: string, options: PauseOptions): Promise<void> {
  await interruptible(async () => {
    const desk = await openDesk(connectionOf(options, process.env), commandLog('pause'))
    try {
      const processor = processorMeant(desk, named)
      const wasPaused = (await desk.audit.read()).pauseOf(processor)?.paused === true
      const paused = kind === 'PAUSE'
      const changed = wasPaused !== paused
      if (changed) await desk.audit.append(record(kind, processor, options.why ?? ''))
      if (options.json === true) await printDocument({ processor, paused, changed })
      else await print(text(processor, paused, changed))
    } finally {
      await desk.close()
    }
  })
}

function text(processor: string, paused: boolean, changed: boolean): string {
  if (!changed) return `${processor} ${paused ? 'was paused already' : 'was not paused'}`
  return paused
    ? `${processor} is paused: what is under way ends, nothing else begins until sallyport resume ${processor}`
    : `${processor} takes records again`
}

function record(kind: 'PAUSE' | 'RESUME', processor: string, why: string): AuditRecord {
  return {
    operation: null,
    kind,
    step: 'FINISHED',
    processor,
    by: thisOperator(),
    why,
    command: '',
    selection: null,
    ranges: [],
    progress: null,
    count: 0,
  }
}
