import type { Command } from 'commander'
import { declareSetupOptions } from '../setup-options.ts'

const PLAN_EXAMPLES = `
Examples:
  sallyport topics plan
  sallyport topics plan --json -c production.yaml --brokers kafka:9092 --registry http://registry:8081

Ends with 4 where apply would change something. More partitions are given by topics grow.`

const GROW_EXAMPLES = `
Stop the ingresses, let the processors run until sallyport lag shows nothing behind, stop them, set topics.partitions.
What senders repeat of the time before still counts once. Whatever ends a run half-way, the same command goes on.

Examples:
  sallyport topics grow                 the plan; nothing is done
  sallyport topics grow --yes

Ends with 4 where something is in the way, and says what to do about it.`

/** `sallyport topics plan|apply|grow`: what the topics are, and making them what the settings say. */
export function register(program: Command): void {
  const topics = program.command('topics').description('the topics of the settings file')
  declareSetupOptions(topics.command('plan'))
    .description('say what apply would create and change; changes nothing')
    .addHelpText('after', PLAN_EXAMPLES)
    .action(async options => await (await import('../topics/topics.ts')).planTopics(options))
  declareSetupOptions(topics.command('apply'))
    .description('create missing topics and set the configuration of existing ones')
    .addHelpText(
      'after',
      '\nExample:\n  sallyport topics apply --brokers kafka:9092 --registry http://registry:8081',
    )
    .action(async options => await (await import('../topics/topics.ts')).applyTopics(options))
  declareSetupOptions(topics.command('grow'))
    .description('give the topics as many partitions as the settings say: the plan, then --yes')
    .option('-y, --yes', 'run what the plan says')
    .addHelpText('after', GROW_EXAMPLES)
    .action(async options => await (await import('../grow/grow.ts')).grow(options))
}
