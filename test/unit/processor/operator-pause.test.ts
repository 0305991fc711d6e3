import assert from 'node:assert/strict'
import { AuditLog } from '@sallyport/core/audit-log'
import { createRegistry } from '@sallyport/core/kafka/registry'
import { createLog } from '@sallyport/core/log'
import type { Pauses } from '@sallyport/core/pauses'
import { Gate } from '@sallyport/processor/gate'
import { OperatorPause } from '@sallyport/processor/operator-pause'
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
    const pause = new OperatorPause('held', { connection, registry, gate, log })
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
