import assert from 'node:assert/strict'
import { GroupConsumer, type GroupListener, type GroupSettings } from '@sallyport/core/kafka/group-consumer'
import { createLog } from '@sallyport/core/log'
import type kafkajs from 'kafkajs'

describe('a group’s consumer', () => {
  it('that is stopped while it connects does not join', async () => {
    // Setup: no connection yet. Timeline: it connects; it is stopped; the connection is there. Proves: it closes that
    // one, and does not become a member that nobody ends.
    const connected = Promise.withResolvers<void>()
    const calls: string[] = []
    const consumer = {
      events: {},
      on: () => {},
      connect: () => connected.promise,
      subscribe: async () => {},
      run: async () => void calls.push('run'),
      disconnect: async () => void calls.push('disconnect'),
    }
    const kafka = { consumer: () => consumer } as unknown as kafkajs.Kafka
    const settings: GroupSettings = {
      groupId: 'g',
      topics: ['t'],
      sessionTimeoutMs: 6_000,
      memberSettings: '',
      partitionBytesMax: 1,
    }
    const member = new GroupConsumer(kafka, settings, {} as GroupListener, createLog('test'))
    const started = member.start()
    await member.stop()
    connected.resolve()
    await started
    assert.deepEqual(calls, ['disconnect', 'disconnect'])
  })
})
