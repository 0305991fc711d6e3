/** How schemas are registered, on a real registry. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { EVENT_SCHEMA } from '@sallyport/core/codec'
import { createRegistry } from '@sallyport/core/kafka/registry'
import { sharedCluster } from '../support/shared-cluster.ts'

describe('the registry', function () {
  this.timeout(60_000)
  let url: string

  before(async () => {
    url = (await sharedCluster()).registryUrl
  })

  /** Asks the registry's API directly. */
  async function ask(method: string, path: string, body: object): Promise<Record<string, unknown>> {
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(`${url}/${path}`, { method, headers, body: JSON.stringify(body) })
    assert.ok(answer.ok, await answer.clone().text())
    return (await answer.json()) as Record<string, unknown>
  }

  it('gives one id to services that start at the same moment', async () => {
    // Setup: a service has registered a subject. Timeline: it has not yet set its compatibility; another service
    // registers the same; it is set. Proves: the other waits for that, and does not take it for a registry that is away.
    const subject = `test-${randomUUID()}-value`
    const { id } = await ask('POST', `subjects/${subject}/versions`, { schema: EVENT_SCHEMA.text })
    const other = createRegistry(url).register(subject, EVENT_SCHEMA)
    await Promise.race([other, sleep(200)])
    await ask('PUT', `config/${subject}`, { compatibility: 'BACKWARD_TRANSITIVE' })
    assert.equal(await other, id)
  })

  it('that has another compatibility for a subject is not called away: the error says what to do', async () => {
    const subject = `test-${randomUUID()}-value`
    await createRegistry(url).register(subject, EVENT_SCHEMA)
    await ask('PUT', `config/${subject}`, { compatibility: 'FULL' })
    await assert.rejects(createRegistry(url).register(subject, EVENT_SCHEMA), {
      code: 'SP_SCHEMA_INCOMPATIBLE',
      message: /BACKWARD_TRANSITIVE != FULL.*curl -X PUT/,
    })
  })
})
