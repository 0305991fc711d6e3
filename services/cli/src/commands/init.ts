import { writeFileSync } from 'node:fs'
import { SallyportError } from '@sallyport/core/errors'
import type { Command } from 'commander'
import { print } from '../output.ts'
import { SETTINGS_TEMPLATE } from '../scaffold/settings-template.ts'

interface InitOptions {
  readonly config: string
}

/** `sallyport init`: a settings file to begin with. */
export function register(program: Command): void {
  program
    .command('init')
    .description('write a commented settings file; never over one that is there')
    .option('-c, --config <file>', 'the file to write', 'sallyport.yaml')
    .addHelpText('after', '\nExample:\n  sallyport init -c my/sallyport.yaml')
    .action(init)
}

async function init({ config }: InitOptions): Promise<void> {
  try {
    writeFileSync(config, SETTINGS_TEMPLATE, { flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    throw new SallyportError(
      'SP_SETTINGS',
      `${config} is there already: name another file with --config, or add to it with npx sallyport add`,
    )
  }
  await print(`${config} is written. Next:`)
  await print(`  npx sallyport add source github --config ${config}`)
  await print(`  npx sallyport add processor my-agent --config ${config}`)
  await print(`  npx sallyport config check --config ${config}`)
}
