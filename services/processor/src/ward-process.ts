/** The process of a ward: runs the attempts that it is given, and ends with whoever gave them. */
import { Worker } from 'node:worker_threads'
import { createLog } from '@sallyport/core/log'
import { trace } from '@sallyport/core/trace'
import { Attempts } from './attempt.ts'
import { configure, importProcessor, type ProcessorConfig } from './config.ts'
import { chargeLooseEnd } from './loose-ends.ts'
import { OutputEncoder } from './outputs.ts'
import type { FromWard, ToWard, WardAttempt, WardSettings } from './ward-messages.ts'

/** Exit code after an exception: as that of a command that ends unforeseen. */
const EXIT_BROKEN = 70
/** A handler that computes without end hears of nothing: a thread sees that nobody waits any more. */
const ORPHAN_WATCH = `
const parent = process.ppid
setInterval(() => process.ppid === parent || process.kill(process.pid, 'SIGKILL'), 500)
`

const log = createLog('processor')
const running = new Map<number, AbortController>()
let ready: Promise<{ processor: ProcessorConfig; encoder: OutputEncoder }> | undefined

function tell(message: FromWard, then: () => void = () => {}): void {
  if (process.connected) process.send?.(message, undefined, {}, then)
}

async function prepare({
  entry,
  schemaIds,
  partitions,
  limits,
}: WardSettings): Promise<{ processor: ProcessorConfig; encoder: OutputEncoder }> {
  const processor = configure(await importProcessor(entry.module), entry)
  const outputs = [...processor.outputs].map(
    ([topic, schema]) => [topic, { schema, schemaId: schemaIds.get(topic) as number }] as const,
  )
  return { processor, encoder: new OutputEncoder(new Map(outputs), partitions, limits) }
}

async function run(id: number, { event, round, epoch, partition, span }: WardAttempt): Promise<void> {
  const task = new AbortController()
  running.set(id, task)
  const { processor, encoder } = await (ready as NonNullable<typeof ready>)
  const attempts = new Attempts(processor, encoder, epoch, task.signal)
  const result = await attempts.run({
    event: { ...event, body: Buffer.from(event.body) },
    round,
    span: trace.wrapSpanContext(span),
    log: () => log.child({ processor: processor.name, partition, event: event.id, attempt: round.attempt }),
    hold() {},
  })
  running.delete(id)
  tell({ kind: 'ended', id, result })
}

process.on('message', (message: ToWard) => {
  switch (message.kind) {
    case 'settings':
      ready = prepare(message.settings)
      void ready.then(() => tell({ kind: 'ready' }))
      return
    case 'attempt':
      void run(message.id, message.attempt)
      return
    case 'cut':
      running.get(message.id)?.abort(new Error('the task has ended'))
      return
    case 'ping':
      tell({ kind: 'pong' })
  }
})
process.on('disconnect', () => process.exit(0))
// Its parent decides: Ctrl-C reaches every process of a terminal.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {})
process.on('unhandledRejection', error => {
  const charged = chargeLooseEnd(error, 'rejection', log)
  if (charged === 'fault') tell({ kind: 'fault' })
  if (charged === 'nobody') end(error, false)
})
process.on('uncaughtException', error => {
  const charged = chargeLooseEnd(error, 'exception', log)
  if (charged === 'fault') tell({ kind: 'fault' })
  end(error, charged !== 'nobody')
})

/** Ends behind what is to be told of the attempt. */
function end(error: unknown, known: boolean): void {
  console.error(error)
  setImmediate(() => tell({ kind: 'broken', known }, () => process.exit(EXIT_BROKEN)))
}

new Worker(ORPHAN_WATCH, { eval: true }).unref()
