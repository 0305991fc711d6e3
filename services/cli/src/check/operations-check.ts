import type { Connection } from '@sallyport/core/connection'
import { SallyportError } from '@sallyport/core/errors'
import { commandLog } from '../kafka-options.ts'
import { openDesk } from '../operations/desk.ts'
import { isOrphaned } from '../operations/operator.ts'
import { pausesOf, pauseText } from '../operations/pauses.ts'
import { commandName } from '../operations/selection.ts'
import { type Finding, ok, problem, warning } from './finding.ts'

/** What operators left: paused processors, and operations that nobody goes on with. */
export async function checkOperations(connection: Connection): Promise<Finding[]> {
  const about = 'operations'
  let desk: Awaited<ReturnType<typeof openDesk>>
  try {
    desk = await openDesk(connection, commandLog('doctor'))
  } catch (error) {
    // Without its topics there is nothing that anybody could have left; the check of the topics says so.
    if (error instanceof SallyportError && error.code === 'SP_TOPIC_MISMATCH') return []
    return [problem(about, error)]
  }
  try {
    const state = await desk.audit.read()
    const findings: Finding[] = pausesOf(state, desk.processors).map(pause =>
      warning(`processor ${pause.processor}`, pauseText(pause)),
    )
    for (const processor of desk.processors) {
      const open = state.openOperation(processor)
      if (open === undefined || !isOrphaned(open)) continue
      const [name, id] = [commandName(open.kind), open.id]
      const left = `operation ${id} stopped, ${open.handled} of ${open.planned} done: ${open.command}`
      findings.push(
        warning(`processor ${processor}`, `${left}; sallyport ${name} --resume ${id}, or --cancel ${id}`),
      )
    }
    return findings.length > 0 ? findings : [ok(about, 'nothing is paused, no operation was left open')]
  } catch (error) {
    return [problem(about, error)]
  } finally {
    await desk.close()
  }
}
