/** Forgeries of every sender whose proof is checked by code or a public key, 10,000 requests each family (V1, V2, V7). */
import assert from 'node:assert/strict'
import { listPresets } from '@sallyport/ingress/schemes/presets'
import type { Source } from '@sallyport/ingress/sources'
import fc from 'fast-check'
import { CODED_SENDERS, URL_SIGNED } from '../support/coded-senders.ts'
import { mutate, mutation } from '../support/mutation.ts'
import { codeOf, judge, type RequestParts } from '../support/signed-request.ts'

const RUNS = { numRuns: 10_000 }
/** Lists take a second signature beside the genuine one. */
const SEPARATOR: Readonly<Record<string, string>> = { plivo: ',', braintree: '&' }

async function code(source: Source, parts: RequestParts): Promise<string> {
  const judged = codeOf(await judge(source, { url: URL_SIGNED, ...parts }))
  assert.notEqual(judged, 'unreadable')
  return judged
}

describe('forgeries of senders with code or keys of their own', function () {
  this.timeout(120_000)

  it('every such sender is here, and its genuine request is accepted', async () => {
    const names = listPresets().filter(({ code, needs }) => code !== undefined || needs === 'publicKeys')
    assert.deepEqual(CODED_SENDERS.map(({ name }) => name).sort(), names.map(({ name }) => name).sort())
    for (const { name, source, proof, request } of CODED_SENDERS) {
      assert.equal(await code(source, request(proof)), 'verified', name)
    }
  })

  it('V2: no mutation of a proof is accepted', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...CODED_SENDERS), mutation, async (sender, change) => {
        const mutated = mutate(sender.proof, change)
        const separator = SEPARATOR[sender.name]
        const first = separator === undefined ? mutated : mutated.split(separator)[0]
        // Any number of blanks may stand before credentials, and around a header's value (RFC 9110, 5.5 and 11.4).
        if (first?.replace(/^ +| +$/g, '') === sender.proof) return
        if (separator !== undefined && mutated.split(separator).includes(sender.proof)) return
        const result = await code(sender.source, sender.request(mutated))
        assert.notEqual(result, 'verified', `${sender.name}: ${mutated}`)
      }),
      RUNS,
    )
  })

  it('V1: no mutation of a body is accepted where the proof binds it', async () => {
    const binding = CODED_SENDERS.filter(sender => sender.bound !== undefined)
    assert(binding.length >= 13)
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...binding), mutation, async (sender, change) => {
        const body = mutate(sender.bound ?? '', change)
        if (body === sender.bound) return
        const result = await code(sender.source, sender.request(sender.proof, body))
        assert.notEqual(result, 'verified', `${sender.name}: ${body}`)
      }),
      RUNS,
    )
  })

  it('V7: no header and no body makes a sender’s code throw', async () => {
    const names = new Set(
      CODED_SENDERS.flatMap(({ proof, request }) => Object.keys(request(proof).headers ?? {})),
    )
    const fields = [
      ...['signature', 'token', 'timestamp', 'notificationItems', 'NotificationRequestItem', 'value'],
      ...['additionalData', 'hmacSignature', 'clientState', 'Type', 'Signature', 'SigningCertURL', 'message'],
    ]
    const tree = fc.letrec(tie => ({
      value: fc.oneof(
        { maxDepth: 4 },
        fc.string(),
        fc.integer(),
        fc.constant(null),
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(fc.constantFrom(...fields), tie('value'), { maxKeys: 4 }),
      ),
    })).value
    const body = fc.oneof(
      tree.map(value => JSON.stringify(value)),
      fc.string(),
      fc.webQueryParameters(),
    )
    const header = fc.tuple(
      fc.constantFrom(...names, 'Content-Type'),
      fc.oneof(
        fc.string(),
        fc.constantFrom(...CODED_SENDERS.map(({ proof }) => proof), 'application/x-www-form-urlencoded'),
      ),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...CODED_SENDERS),
        fc.array(header, { maxLength: 5 }),
        body,
        async ({ source }, headers, text) => {
          await code(source, { headers, body: text })
        },
      ),
      RUNS,
    )
  })
})
