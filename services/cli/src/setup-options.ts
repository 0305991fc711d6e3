import type { Command } from 'commander'
import { declareKafkaOptions, type KafkaOptions } from './kafka-options.ts'

/** Options of the commands that hold the settings against a cluster. */
export interface SetupOptions extends KafkaOptions {
  readonly config: string
  readonly json: boolean
}

/** Adds `--brokers`, `--registry`, `--config` and `--json`. */
export function declareSetupOptions(command: Command): Command {
  return declareKafkaOptions(command)
    .option('-c, --config <file>', 'settings file', 'sallyport.yaml')
    .option('--json', 'one JSON document', false)
}
