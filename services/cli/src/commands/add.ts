import type { Command } from 'commander'

/** `sallyport add source|processor`: scaffolds, and says what to do next. */
export function register(program: Command): void {
  const add = program.command('add').description('add a source or a processor to the settings')
  add
    .command('source')
    .description('add a known sender; its secret stays outside the file')
    .argument('<name>', 'the source’s name: it stands in the URL and before the / of event ids')
    .option('--preset <name>', 'the sender, where the source has another name')
    .option('-c, --config <file>', 'settings file', 'sallyport.yaml')
    .addHelpText(
      'after',
      '\nExamples:\n  sallyport add source github\n  sallyport add source shop-eu --preset shopify',
    )
    .action(async (name, options) => await (await import('../scaffold/add.ts')).addSource(name, options))
  add
    .command('processor')
    .description('write a processor module and name it in the settings')
    .argument('<name>', 'stands in topic names and is the consumer group sallyport.<name>')
    .option('--source <name>', 'handle this source only; may be repeated', collect, [])
    .option('--file <file>', 'the module to write (default: agents/<name>.ts beside the settings)')
    .option('-c, --config <file>', 'settings file', 'sallyport.yaml')
    .addHelpText('after', '\nExample:\n  sallyport add processor invoice-agent --source stripe')
    .action(async (name, options) => await (await import('../scaffold/add.ts')).addProcessor(name, options))
}

function collect(value: string, values: readonly string[]): readonly string[] {
  return [...values, value]
}
