import type { EventOutcome } from '@sallyport/console/index/outcome'
import { colors } from '../colors.ts'
import type { Cell } from '../output.ts'

/** An outcome as a table's cell. */
export function outcomeCell(outcome: EventOutcome): Cell {
  switch (outcome) {
    case 'processed':
      return { text: outcome, color: colors.green }
    case 'retrying':
      return { text: outcome, color: colors.yellow }
    case 'dead':
      return { text: outcome, color: colors.red }
    case 'waiting':
    case 'passed':
      return outcome
  }
}
