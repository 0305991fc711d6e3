import { type Command, Option } from 'commander'
import { declareKafkaOptions, type KafkaOptions } from './kafka-options.ts'
import { duration } from './option.ts'

export interface IndexOptions extends KafkaOptions {
  /** How long to wait for the index to come up with the topics, ms. */
  readonly wait: number
}

const WAIT_MS = 30_000

/** Adds the options of commands that search. */
export function declareIndexOptions(command: Command): Command {
  return declareKafkaOptions(command).addOption(
    new Option('--wait <duration>', 'how long to wait until the index has what the topics hold')
      .argParser(duration)
      .default(WAIT_MS, '30s'),
  )
}
