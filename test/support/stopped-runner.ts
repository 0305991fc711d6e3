/**
 * A worker: kafkajs's runner is stopped while it makes its fetchers anew, and then says `stopped`. Where nothing stops
 * the new fetchers, its event loop stands still and it never says a word.
 */
import { createRequire } from 'node:module'
import { parentPort } from 'node:worker_threads'
import '@sallyport/core/kafka/client'

const require = createRequire(import.meta.url)
const Runner = require('kafkajs/src/consumer/runner.js')
const Emitter = require('kafkajs/src/instrumentation/emitter.js')

const silent = { namespace: () => silent, debug() {}, info() {}, warn() {}, error() {} }
const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
const longFetch = Promise.withResolvers<void>()
let brokers = ['0', '1']

const runner = new Runner({
  logger: silent,
  instrumentationEmitter: new Emitter(),
  onCrash: (error: unknown) => {
    throw error
  },
  eachBatch: async () => {},
  heartbeatInterval: 1_000,
  concurrency: 1,
  retry: { initialRetryTime: 10, retries: 3 },
  consumerGroup: {
    connect: async () => {},
    joinAndSync: async () => {},
    heartbeat: async () => {},
    leave: async () => {},
    getNodeIds: () => brokers,
    fetch: async (broker: string) => {
      await (broker === '1' ? longFetch.promise : turn())
      return []
    },
  },
})
await runner.start()
await turn()
brokers = ['0']
// The first fetcher notices; the fetchers' manager waits for the second.
for (let i = 0; i < 10; i++) await turn()
const stopped = runner.stop()
longFetch.resolve()
await stopped
parentPort?.postMessage('stopped')
