import { processorMeant } from '../operations/desk.ts'
import { operate } from '../operations/operate.ts'
import type { OperateOptions } from '../operations/operate-options.ts'
import { commandText, type Filters, selectionOf } from '../operations/selection.ts'

interface LetterOperationOptions extends OperateOptions, Filters {
  readonly processor?: string
}

/** `sallyport dlq redrive` and `dlq discard`. */
export async function operateOnLetters(
  kind: 'REDRIVE' | 'DISCARD',
  ids: readonly string[],
  options: LetterOperationOptions,
): Promise<void> {
  await operate(kind, options, async desk => {
    const processor = processorMeant(desk, options.processor)
    return {
      processor,
      selection: selectionOf(options, ids),
      command: commandText(kind, processor, options, ids),
    }
  })
}
