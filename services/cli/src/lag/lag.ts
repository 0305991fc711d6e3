import type { Connection } from '@sallyport/core/connection'
import { SallyportError } from '@sallyport/core/errors'
import { createKafka } from '@sallyport/core/kafka/client'
import { colors } from '../colors.ts'
import { EXIT } from '../exit.ts'
import { interruptible } from '../interruption.ts'
import { commandLog, connectionOf, type KafkaOptions } from '../kafka-options.ts'
import { type Pause, pauseText, readPauses } from '../operations/pauses.ts'
import { note, print, printDocument, table } from '../output.ts'
import { printable } from '../printable.ts'
import { type Lag, measureLag } from './measure.ts'

interface LagOptions extends KafkaOptions {
  readonly all?: boolean
  readonly json?: boolean
}

/** `sallyport lag`. */
export async function showLag(names: readonly string[], options: LagOptions): Promise<void> {
  const connection = connectionOf(options, process.env)
  const kafka = createKafka(connection, 'sallyport-lag', commandLog('lag'))
  await interruptible(async signal => {
    const [{ lags, unknown }, all] = await Promise.all([
      measureLag(kafka, names, signal),
      pausesKnown(connection),
    ])
    const pauses = all?.filter(({ processor }) => lags.some(lag => lag.processor === processor))
    if (options.json) await printDocument({ lags, pauses: pauses?.map(pauseFields) ?? null })
    else await printLags(lags, pauses ?? [], options.all === true)
    for (const name of unknown) note(`there is no processor ${printable(name)}`)
    if (unknown.length > 0 || lags.length === 0) process.exitCode = EXIT.nothing
  })
}

/** Lag is told without the registry, too; undefined where it is away, for only with it the audit can be read. */
async function pausesKnown(connection: Connection): Promise<Pause[] | undefined> {
  try {
    return await readPauses(connection, commandLog('lag'))
  } catch (error) {
    if (!(error instanceof SallyportError) || error.code !== 'SP_REGISTRY_UNREACHABLE') throw error
    note(`whether operators paused a processor is not known: ${printable(error.message)}`)
    return undefined
  }
}

function pauseFields({ processor, by, at, why }: Pause) {
  return { processor, since: new Date(at).toISOString(), by, why }
}

async function printLags(lags: readonly Lag[], pauses: readonly Pause[], withAll: boolean): Promise<void> {
  for (const [processor, own] of Map.groupBy(lags, lag => lag.processor)) {
    const listed = own.filter(({ records }) => withAll || records > 0)
    const total = own.reduce((sum, { records }) => sum + records, 0)
    const oldest = Math.max(0, ...own.map(({ seconds }) => seconds ?? 0))
    await print(`${processor}: ${total} records behind${total === 0 ? '' : `, the oldest for ${oldest} s`}`)
    const pause = pauses.find(one => one.processor === processor)
    if (pause !== undefined) await print(`  ${colors.yellow(printable(pauseText(pause)))}`)
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
