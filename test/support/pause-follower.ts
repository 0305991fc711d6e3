/** What a processor's start takes of the audit: follows an operator's pause until it is known, and says how that went. */
import { createRegistry } from '@sallyport/core/kafka/registry'
import { createLog } from '@sallyport/core/log'
import { Gate } from '@sallyport/processor/gate'
import { OperatorPauses } from '@sallyport/processor/operator-pauses'

const { BROKERS = '', REGISTRY = '', PROCESSOR = '' } = process.env
const log = createLog('test')
const connection = { brokers: BROKERS.split(','), registryUrl: REGISTRY }
const gate = new Gate(PROCESSOR, log)
const registry = createRegistry(REGISTRY)
const pause = new OperatorPauses(new Map([[PROCESSOR, gate]]), { connection, registry, log })
const stopping = new AbortController()
const before = process.memoryUsage.rss()
const startedAt = performance.now()
const following = pause.follow(stopping.signal)
await pause.known
const ms = Math.round(performance.now() - startedAt)
const mib = (process.resourceUsage().maxRSS - before / 1_024) / 1_024
console.log(JSON.stringify({ ms, mib, isPaused: gate.holds.has('paused') }))
stopping.abort()
await following
