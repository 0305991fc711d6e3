import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { CRM, SECRET, send, type TestIngress, testIngress, ticket } from '../support/ingress.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

describe('the longest delivery', function () {
  this.timeout(60_000)
  let ingress: TestIngress | undefined

  afterEach(async () => {
    await ingress?.stop()
  })

  it('that the limits let in fits into a record: it is stored, not answered with 503 for ever', async () => {
    const connection = await sharedCluster()
    ingress = await testIngress(connection, `${CRM}    headers: [x-one, x-two]\n`)
    await ingress.ready
    const filled = ticket({ fill: '' })
    const body = filled.replace('"fill":""', `"fill":"${'x'.repeat(1_048_576 - filled.length)}"`)
    assert.equal(body.length, 1_048_576)
    // Latin-1 characters take twice their room as UTF-8.
    const headers = {
      'X-Webhook-Signature': createHmac('sha256', SECRET).update(body).digest('hex'),
      'X-One': 'ÿ'.repeat(7_500),
      'X-Two': 'ÿ'.repeat(7_500),
    }
    const answer = await send(`${ingress.url}/webhooks/${ingress.source}`, {
      body: Buffer.from(body),
      headers,
    })
    assert.equal(answer.status, 200, answer.text)
  })
})
