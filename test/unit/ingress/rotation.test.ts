/** Two secrets at once, while a sender changes from one to the other. */
import assert from 'node:assert/strict'
import { previousSecretTotal } from '@sallyport/core/metrics'
import { testHandler } from '../../support/handler.ts'
import { send } from '../../support/ingress.ts'
import { hmac } from '../../support/signed-request.ts'

describe('a secret that is being rotated', () => {
  it('is taken in its previous form too, and each delivery that still uses it is counted', async () => {
    const { url, keys, close } = await testHandler({ rolled: { preset: 'github', secrets: ['new', 'old'] } })
    try {
      for (const secret of ['new', 'old', 'old', 'older']) {
        const body = `{"by":"${secret}"}`
        const headers = { 'X-Hub-Signature-256': `sha256=${hmac('sha256', secret, body)}` }
        const { status } = await send(`${url}/rolled`, { body, headers })
        assert.equal(status, secret === 'older' ? 401 : 200)
      }
      assert.equal(keys.length, 3)
      const { values } = await previousSecretTotal.get()
      assert.equal(values.find(({ labels }) => labels.source === 'rolled')?.value, 2)
    } finally {
      close()
    }
  })
})
