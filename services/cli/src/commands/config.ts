import type { Command } from 'commander'

const EXAMPLES = `
Examples:
  sallyport config check
  GITHUB_WEBHOOK_SECRET=… sallyport config check -c production.yaml --json

Ends with 4 where something is wrong; a notice, of what is here and would be missing elsewhere, is nothing wrong.`

/** `sallyport config check`: whether the services would start with these settings; asks nothing of a network. */
export function register(program: Command): void {
  program
    .command('config')
    .description('the settings file')
    .command('check')
    .description('check the settings, the secrets and modules that they name; needs no network')
    .option('-c, --config <file>', 'settings file', 'sallyport.yaml')
    .option('--json', 'one JSON document', false)
    .addHelpText('after', EXAMPLES)
    .action(async options => await (await import('../check/config-check.ts')).checkConfig(options))
}
