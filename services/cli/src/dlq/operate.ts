import { UsageError } from '../exit.ts'
import { processorMeant } from '../operations/desk.ts'
import { operate } from '../operations/operate.ts'
import type { OperateOptions } from '../operations/operate-options.ts'
import { commandText, type Filters, isAny, selectionOf } from '../operations/selection.ts'

interface LetterOperationOptions extends OperateOptions, Filters {
  readonly processor?: string
  readonly all?: boolean
}

/** `sallyport dlq redrive` and `dlq discard`. */
export async function operateOnLetters(
  kind: 'REDRIVE' | 'DISCARD',
  ids: readonly string[],
  options: LetterOperationOptions,
): Promise<void> {
  const selection = selectionOf(options, ids)
  if (options.resume !== undefined || options.cancel !== undefined) {
    if (!isAny(selection))
      throw new UsageError('an operation that goes on has its own selection: leave ids and filters out')
  } else if (kind === 'DISCARD' && options.yes === true && isAny(selection) !== (options.all === true)) {
    // A mistyped id, or a variable that is not set, must not hide everything: nothing brings it back.
    throw new UsageError('name ids or filters, or --all for every dead letter of the processor')
  }
  await operate(kind, options, async desk => {
    const processor = processorMeant(desk, options.processor)
    return {
      processor,
      selection,
      command: commandText(kind, processor, options, ids),
    }
  })
}
