import { createKafka } from '@sallyport/core/kafka/client'
import { EXIT } from '../exit.ts'
import { interruptible } from '../interruption.ts'
import { commandLog, connectionOf, type KafkaOptions } from '../kafka-options.ts'
import { note, print, printDocument, table } from '../output.ts'
import { printable } from '../printable.ts'
import { type Lag, measureLag } from './measure.ts'

interface LagOptions extends KafkaOptions {
  readonly all?: boolean
  readonly json?: boolean
}

/** `sallyport lag`. */
export async function showLag(names: readonly string[], options: LagOptions): Promise<void> {
  const kafka = createKafka(connectionOf(options, process.env), 'sallyport-lag', commandLog('lag'))
  await interruptible(async signal => {
    const { lags, unknown } = await measureLag(kafka, names, signal)
    if (options.json) await printDocument({ lags })
    else await printLags(lags, options.all === true)
    for (const name of unknown) note(`there is no processor ${printable(name)}`)
    if (unknown.length > 0 || lags.length === 0) process.exitCode = EXIT.nothing
  })
}

async function printLags(lags: readonly Lag[], withAll: boolean): Promise<void> {
  for (const [processor, own] of Map.groupBy(lags, lag => lag.processor)) {
    const listed = own.filter(({ records }) => withAll || records > 0)
    const total = own.reduce((sum, { records }) => sum + records, 0)
    const oldest = Math.max(0, ...own.map(({ seconds }) => seconds ?? 0))
    await print(`${processor}: ${total} records behind${total === 0 ? '' : `, the oldest for ${oldest} s`}`)
    if (listed.length === 0) continue
    const rows = listed.map(({ input, partition, records, seconds }) => [
      input,
      String(partition),
      String(records),
      seconds === null ? '-' : String(seconds),
    ])
    for (const line of table(['INPUT', 'PARTITION', 'RECORDS', 'SECONDS'], rows)) await print(`  ${line}`)
  }
}
