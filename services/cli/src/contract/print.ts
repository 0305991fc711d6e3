import { writeFileSync } from 'node:fs'
import { errorMessage } from '@sallyport/core/errors'
import { loadSettings } from '@sallyport/core/settings'
import { UsageError } from '../exit.ts'
import { print } from '../output.ts'
import { asyncApiText } from './asyncapi-text.ts'

interface AsyncApiOptions {
  readonly config: string
  readonly out?: string
}

/** `sallyport asyncapi`. */
export async function printAsyncApi({ config, out }: AsyncApiOptions): Promise<void> {
  const text = await asyncApiText(loadSettings(config, process.env))
  if (out === undefined) return await print(text.trimEnd())
  try {
    writeFileSync(out, text)
  } catch (error) {
    throw new UsageError(
      `--out cannot be written (${errorMessage(error)}): name a file in a folder that exists`,
    )
  }
}
