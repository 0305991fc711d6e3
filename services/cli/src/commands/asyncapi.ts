import { writeFileSync } from 'node:fs'
import { errorMessage } from '@sallyport/core/errors'
import { loadSettings } from '@sallyport/core/settings'
import type { Command } from 'commander'
import { asyncApiText } from '../contract/asyncapi-text.ts'
import { UsageError } from '../exit.ts'
import { print } from '../output.ts'

interface AsyncApiOptions {
  readonly config: string
  readonly out?: string
}

/** `sallyport asyncapi`: the contract of the topics, for downstream teams. */
export function register(program: Command): void {
  program
    .command('asyncapi')
    .description('print the AsyncAPI 3 document of the topics that the settings file makes')
    .option('-c, --config <file>', 'settings file', 'sallyport.yaml')
    .option('-o, --out <file>', 'write it to a file instead')
    .addHelpText('after', '\nExample:\n  sallyport asyncapi --out asyncapi.yaml')
    .action(run)
}

async function run({ config, out }: AsyncApiOptions): Promise<void> {
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
