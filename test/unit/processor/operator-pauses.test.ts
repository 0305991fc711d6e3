import assert from 'node:assert/strict'
import { AuditLog } from '@sallyport/core/audit-log'
import { createRegistry } from '@sallyport/core/kafka/registry'
import { createLog } from '@sallyport/core/log'
import type { Pauses } from '@sallyport/core/pauses'
import { Gate } from '@sallyport/processor/gate'
import { OperatorPauses } from '@sallyport/processor/operator-pauses'
import { waitFor } from '../../support/wait-for.ts'

describe('an operator’s pause whose audit cannot be read', () => {
  const follow = AuditLog.prototype.followPauses
  afterEach(() => {
    AuditLog.prototype.followPauses = follow
  })

  /** Follows an audit that says `paused` once, or nothing, and fails then again and again. */
  async function throughFailures(paused: boolean | undefined): Promise<{ holds: string[]; known: boolean }> {
    let failures = 0
    AuditLog.prototype.followPauses = async (_signal, onPauses) => {
      const pauses = { pauseOf: () => ({ paused }) } as unknown as Pauses
      if (failures++ === 0 && paused !== undefined) onPauses(pauses)
      throw new Error('nobody answers')
    }
    const log = createLog('test')
    log.level = 'silent'
    const connection = { brokers: ['127.0.0.1:9'], registryUrl: 'http://127.0.0.1:9' }
    const gate = new Gate('held', log)
    const registry = createRegistry(connection.registryUrl)
    const pause = new OperatorPauses(new Map([['held', gate]]), { connection, registry, log })
    const stopping = new AbortController()
    const following = pause.follow(stopping.signal)
    let known = false
    void pause.known.then(() => {
      known = true
    })
    await waitFor(() => failures === 2)
    const found = { holds: [...gate.holds], known }
    stopping.abort()
    await following
    return found
  }

  it('stands as it was known last (U2)', async () => {
    assert.deepEqual(await throughFailures(true), { holds: ['paused'], known: true })
  })

  it('is not taken for known where it never was: nothing begins until then (U1)', async () => {
    assert.deepEqual(await throughFailures(undefined), { holds: [], known: false })
  })
})

describe('operators’ pauses', () => {
  const follow = AuditLog.prototype.followPauses
  afterEach(() => {
    AuditLog.prototype.followPauses = follow
  })

  it('reach each processor of a process, which follows the audit once', async () => {
    let followed = 0
    AuditLog.prototype.followPauses = async (signal, onPauses) => {
      followed++
      onPauses({ pauseOf: (name: string) => ({ paused: name === 'held' }) } as unknown as Pauses)
      await new Promise(resolve => signal.addEventListener('abort', resolve))
    }
    const log = createLog('test')
    log.level = 'silent'
    const connection = { brokers: ['127.0.0.1:9'], registryUrl: 'http://127.0.0.1:9' }
    const gates = new Map(['held', 'free'].map(name => [name, new Gate(name, log)]))
    const registry = createRegistry(connection.registryUrl)
    const pauses = new OperatorPauses(gates, { connection, registry, log })
    const stopping = new AbortController()
    const following = pauses.follow(stopping.signal)
    await pauses.known
    assert.deepEqual(
      [...gates].map(([name, { holds }]) => [name, [...holds]]),
      [
        ['held', ['paused']],
        ['free', []],
      ],
    )
    stopping.abort()
    await following
    assert.equal(followed, 1)
  })
})
