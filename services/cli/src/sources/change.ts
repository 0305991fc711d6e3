/** `sallyport sources close` and `forget`. */
import { sourceSecret } from '@sallyport/core/source-secrets'
import { EXIT } from '../exit.ts'
import { operatorText, thisOperator } from '../operations/operator.ts'
import { note, print, printDocument } from '../output.ts'
import { atSource, type SourceOptions } from './desk.ts'

export async function closeWindow(source: string, options: SourceOptions): Promise<void> {
  await atSource(source, options, async ({ secrets }) => {
    const window = (await secrets.read()).window(source)
    const wasOpen = window?.state === 'open'
    if (wasOpen) {
      const by = operatorText(thisOperator())
      await secrets.append(sourceSecret({ source, step: 'CLOSED', window: window.id, by }))
    }
    await tell(
      options,
      { source, closed: wasOpen },
      wasOpen ? `${source} learns nothing any more` : undefined,
    )
  })
}

export async function forget(source: string, options: SourceOptions): Promise<void> {
  await atSource(source, options, async ({ secrets }) => {
    const count = (await secrets.read()).learnt(source).length
    if (count > 0) {
      const by = operatorText(thisOperator())
      await secrets.append(sourceSecret({ source, step: 'FORGOTTEN', by }))
    }
    const words =
      count === 0 ? undefined : `${source} has forgotten ${count} learnt secret${count === 1 ? '' : 's'}`
    await tell(options, { source, forgotten: count }, words)
  })
}

async function tell({ json }: SourceOptions, document: object, words: string | undefined): Promise<void> {
  if (words === undefined) process.exitCode = EXIT.nothing
  if (json) await printDocument(document)
  else if (words === undefined) note('there was nothing to do')
  else await print(words)
}
