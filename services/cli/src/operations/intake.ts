import type { AuditRecord } from '@sallyport/core/audit'
import { interruptible } from '../interruption.ts'
import { commandLog, connectionOf, type KafkaOptions } from '../kafka-options.ts'
import { print, printDocument } from '../output.ts'
import { openDesk, processorMeant } from './desk.ts'
import { thisOperator } from './operator.ts'

interface PauseOptions extends KafkaOptions {
  readonly why?: string
  readonly json?: boolean
}

/** `sallyport pause` and `resume`. */
export async function setIntake(
  kind: 'PAUSE' | 'RESUME',
  named: string,
  options: PauseOptions,
): Promise<void> {
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
    checkpoint: null,
  }
}
