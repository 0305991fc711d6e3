/**
 * `npm run bench:dlq [-- --letters N]`: dead letters listed, filtered, redriven and discarded by the real binary, and how
 * much memory that takes, beside the same with a hundredth of them (Z3).
 *
 * The last line says whether each does at least 2,000 a second, start of the process included, and whether memory is
 * bounded: what a command holds when its garbage is collected may grow by 48 MiB for ten times as many, which is 500
 * bytes a letter: fetches and batches are full either way, and what grows is the ledger of one partition (Z3). The peak
 * of the process is shown beside it; garbage is most of that.
 */
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { Cli } from '../support/cli.ts'
import { startCluster } from '../support/cluster.ts'
import { appendDeadLetters } from '../support/dead-letters.ts'
import { Topics } from '../support/events.ts'
import { PARTITIONS, testProcessor } from '../support/processor.ts'
import { scriptOptions } from '../support/script-options.ts'

const options = scriptOptions(import.meta.url, { letters: { type: 'string', default: '100000' } })
const LETTERS = Number(options.letters)
const FEW = Math.ceil(LETTERS / 10)
const PER_SECOND_MIN = 2_000
const MORE_MIB_MAX = 48
const PEAK = fileURLToPath(new URL('../support/peak-memory.ts', import.meta.url))

interface Measured {
  readonly name: string
  readonly perSecond: number
  readonly heldMib: number
  readonly peakMib: number
}

async function main(): Promise<number> {
  const cluster = await startCluster({ brokers: 1 })
  try {
    console.log(
      `${cpus().length} × ${cpus()[0]?.model}, Node ${process.version}, one broker, ${PARTITIONS} partitions`,
    )
    const few = await measure(cluster, FEW)
    const many = await measure(cluster, LETTERS)
    const failed = many.filter(({ name, perSecond, heldMib, peakMib }, i) => {
      const less = few[i] as Measured
      const rate = String(Math.round(perSecond)).padStart(7)
      const held = `holds ${heldMib.toFixed(1)} MiB (${less.heldMib.toFixed(1)} with ${FEW})`
      console.log(
        `${name.padEnd(8)} ${rate}/s  ${held}, peak ${Math.round(peakMib)} MiB (${Math.round(less.peakMib)})`,
      )
      return perSecond < PER_SECOND_MIN || heldMib - less.heldMib > MORE_MIB_MAX
    })
    console.log(
      failed.length === 0
        ? 'fast enough, in bounded memory'
        : `missed: ${failed.map(({ name }) => name).join(', ')}`,
    )
    return failed.length === 0 ? 0 : 1
  } finally {
    await cluster.stop()
  }
}

/** A processor with so many dead letters, and each command once. */
async function measure(
  cluster: Awaited<ReturnType<typeof startCluster>>,
  count: number,
): Promise<Measured[]> {
  const processor = testProcessor(cluster, () => {})
  // It makes the topics, and is not there when they are filled.
  await processor.start()
  await processor.stop()
  const topics = new Topics(cluster, PARTITIONS)
  const { name } = processor.config
  await appendDeadLetters(topics, name, processor.source, count)
  await topics.close()
  const cli = new Cli(cluster)
  const measured: Measured[] = []
  for (const [label, args] of Object.entries({
    list: ['list', '--json'],
    filter: ['list', '--json', '--type', 'tenth', '--text', '"n":', '--code', 'SP_HANDLER_FAILED'],
    plan: ['redrive', '--json'],
    redrive: ['redrive', '--yes', '--json', '--type', 'other'],
    discard: ['discard', '--all', '--yes', '--json'],
    states: ['list', '--json', '--state', 'dead,waiting,processed,discarded'],
  })) {
    const startedAt = performance.now()
    const [command, ...rest] = args as [string, ...string[]]
    const { code, stderr } = await cli.run(['dlq', command, '--processor', name, ...rest], { load: PEAK })
    if (code !== 0) throw new Error(`dlq ${args.join(' ')} ended with ${code}: ${stderr}`)
    const seconds = (performance.now() - startedAt) / 1_000
    const [, peak, held] = /#peak (\d+) held (\d+)/.exec(stderr) ?? []
    measured.push({
      name: label,
      perSecond: count / seconds,
      heldMib: Number(held) / 1_024,
      peakMib: Number(peak) / 1_024,
    })
  }
  return measured
}

process.exit(await main())
