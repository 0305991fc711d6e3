import type { Command } from 'commander'
import { declareKafkaOptions, type KafkaOptions } from '../kafka-options.ts'
import { wholeNumber } from '../option.ts'

export interface OperateOptions extends KafkaOptions {
  readonly yes?: boolean
  readonly json?: boolean
  readonly rate?: number
  readonly limit?: number
  readonly why?: string
  readonly resume?: number
  readonly cancel?: number
}

const RATE_MAX = 100_000
const LIMIT_MAX = 1_000_000_000

/** How an operation is asked for; `sends`: whether it sends records, at a rate. */
export function declareOperation(command: Command, sends: boolean): Command {
  const declared = command
    .option('-y, --yes', 'run what the plan says')
    .option('--limit <n>', 'at most so many, oldest first in each partition', wholeNumber(1, LIMIT_MAX))
    .option('--why <text>', 'the reason, for the audit')
    .option('--resume <operation>', 'go on with an operation that was left open', wholeNumber(1, LIMIT_MAX))
    .option('--cancel <operation>', 'give an open operation up', wholeNumber(1, LIMIT_MAX))
    .option('--json', 'one JSON document')
  if (sends) declared.option('--rate <n>', 'at most so many a second', wholeNumber(1, RATE_MAX))
  return declareKafkaOptions(declared)
}
