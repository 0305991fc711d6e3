import { EVENT_SCHEMA } from '@sallyport/core/codec'
import { SallyportError } from '@sallyport/core/errors'
import type { Event } from '@sallyport/core/event'
import { RegistryReader } from '@sallyport/core/registry-reader'
import { EXIT } from '../exit.ts'
import type { DeadLetter } from '../operations/dead-letter.ts'
import type { Desk } from '../operations/desk.ts'
import type { Standing } from '../operations/ledger.ts'
import { bodyText, type LetterContent, letterDetails, letterLines } from '../operations/report.ts'
import { note, print, printDocument } from '../output.ts'
import { printable } from '../printable.ts'
import { type LettersOptions, placedLetters, withLetters } from './letters.ts'

interface ShownLetter {
  readonly processor: string
  readonly letter: DeadLetter
  readonly standing: Standing
  readonly body: LetterContent
}

/** `sallyport dlq show`. */
export async function showLetters(id: string, options: LettersOptions): Promise<void> {
  await withLetters(options, async (desk, processors, signal) => {
    const found: ShownLetter[] = []
    for (const processor of processors) found.push(...(await lettersNamed(desk, processor, id, signal)))
    if (found.length === 0) {
      note(`no processor has a dead letter named ${printable(id)}`)
      process.exitCode = EXIT.nothing
      return
    }
    if (options.json === true) {
      const deadLetters = found.map(one => letterDetails(one.processor, one.letter, one.standing, one.body))
      await printDocument({ id, deadLetters })
      return
    }
    for (const { processor, letter, standing, body } of found) {
      for (const line of letterLines(processor, letter, standing, body)) await print(line)
    }
  })
}

/** A processor's letters of an id: from where it is at home, else from where they lay before the topics grew. */
async function lettersNamed(
  desk: Desk,
  processor: string,
  id: string,
  signal: AbortSignal,
): Promise<ShownLetter[]> {
  // Nothing follows from what is shown: poison must not keep an operator waiting for a doubt's end.
  const events = new RegistryReader<Event>(EVENT_SCHEMA, { find: desk.registry.glance })
  const found: ShownLetter[] = []
  for (const ids of [[id], []]) {
    for await (const { letter, standing } of placedLetters(desk, [processor], signal, ids)) {
      if (letter.identity !== id) continue
      found.push({ processor, letter, standing: standing(), body: await bodyOf(events, letter) })
    }
    if (found.length > 0) break
  }
  return found
}

/** What the event says: its body, and method and query where it has data there; of what cannot be read, the record's bytes. */
async function bodyOf(events: RegistryReader<Event>, { record }: DeadLetter): Promise<LetterContent> {
  const value = record.value ?? Buffer.alloc(0)
  try {
    const { body, method, query } = await events.decode(value)
    return { ...bodyText(body), ...(method === null ? {} : { method }), ...(query === null ? {} : { query }) }
  } catch (error) {
    if (error instanceof SallyportError) throw error
    return bodyText(value)
  }
}
