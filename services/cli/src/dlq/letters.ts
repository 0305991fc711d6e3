/** The dead letters of a cluster, each with where it stands. */

import { interruptible } from '../interruption.ts'
import { commandLog, connectionOf, type KafkaOptions } from '../kafka-options.ts'
import type { DeadLetter } from '../operations/dead-letter.ts'
import { type Desk, openDesk, processorMeant, topicsOf } from '../operations/desk.ts'
import { Ledger, letters, type Standing } from '../operations/ledger.ts'
import { partitionsOf } from '../operations/plan.ts'

export interface LettersOptions extends KafkaOptions {
  readonly processor?: string
  readonly json?: boolean
}

/** A dead letter of a processor; where it stands is asked for when it is wanted. */
export interface Placed {
  readonly processor: string
  readonly letter: DeadLetter
  readonly standing: () => Standing
}

/** Works on the dead letters of the processors that are meant, until Ctrl-C. */
export async function withLetters(
  options: LettersOptions,
  work: (desk: Desk, processors: readonly string[], signal: AbortSignal) => Promise<void>,
): Promise<void> {
  await interruptible(async signal => {
    const desk = await openDesk(connectionOf(options, process.env), commandLog('dlq'))
    try {
      const named = options.processor
      const processors = named === undefined ? desk.processors : [processorMeant(desk, named)]
      await work(desk, processors, signal)
    } finally {
      await desk.close()
    }
  })
}

/** The letters of some processors, one partition after the other; of ids, those where they are at home. */
export async function* placedLetters(
  desk: Desk,
  processors: readonly string[],
  signal: AbortSignal,
  ids: readonly string[] = [],
): AsyncGenerator<Placed> {
  const state = await desk.audit.read()
  for (const processor of processors) {
    const partitions = [...(await desk.reader.bounds(topicsOf(processor).deadLetter)).keys()]
    const wanted = partitionsOf(ids, partitions.length)
    for (const partition of partitions.filter(one => wanted?.has(one) ?? true)) {
      const ledger = await Ledger.read(desk, processor, partition, state.operations(processor))
      for await (const letter of letters(desk, processor, partition)) {
        signal.throwIfAborted()
        yield { processor, letter, standing: () => ledger.standing(letter) }
      }
    }
  }
}
