/** `sallyport sources show`. */
import type { LearningWindow } from '@sallyport/core/source-secrets'
import { EXIT } from '../exit.ts'
import { print, printDocument } from '../output.ts'
import { printable } from '../printable.ts'
import { atSource, openSecret, type SourceOptions } from './desk.ts'

export interface ShowSourceOptions extends SourceOptions {
  readonly secret: boolean
}

export async function showSource(source: string, options: ShowSourceOptions): Promise<void> {
  await atSource(source, options, async ({ settings, secrets }) => {
    const state = await secrets.read()
    const learnt = state.learnt(source)
    const [newest] = learnt
    if (newest === undefined) process.exitCode = EXIT.nothing
    const secret = options.secret && newest !== undefined ? openSecret(settings, newest) : undefined
    const openUntil = openUntilOf(state.window(source))
    const times = learnt.map(({ at }) => new Date(at).toISOString())
    if (options.json) {
      await printDocument({ source, openUntil, learntAt: times, ...(secret === undefined ? {} : { secret }) })
      return
    }
    await print(
      openUntil === null ? `${source} may learn nothing now` : `${source} may learn until ${openUntil}`,
    )
    for (const time of times) await print(`learnt ${time}`)
    if (secret !== undefined) await print(printable(secret))
  })
}

function openUntilOf(window: LearningWindow | undefined): string | null {
  if (window?.state !== 'open' || window.untilMs < Date.now()) return null
  return new Date(window.untilMs).toISOString()
}
