import type { Command } from 'commander'

/** `sallyport asyncapi`: the contract of the topics, for downstream teams. */
export function register(program: Command): void {
  program
    .command('asyncapi')
    .description('print the AsyncAPI 3 document of the topics that the settings file makes')
    .option('-c, --config <file>', 'settings file', 'sallyport.yaml')
    .option('-o, --out <file>', 'write it to a file instead')
    .addHelpText('after', '\nExample:\n  sallyport asyncapi --out asyncapi.yaml')
    .action(async options => await (await import('../contract/print.ts')).printAsyncApi(options))
}
