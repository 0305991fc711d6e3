import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { SallyportError } from '@sallyport/core/errors'
import { loadSettings } from '@sallyport/core/settings'
import { ClaimStore } from '@sallyport/processor/claim-store'
import { ClaimsBudget, checkClaimsFit } from '@sallyport/processor/claims-budget'
import { startProcessors } from '@sallyport/processor/main'
import { keptLog } from '../../support/ingress.ts'

describe('the memory of claims', () => {
  function settings(processing: string) {
    const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-claims-'))
    try {
      const file = path.join(folder, 'sallyport.yaml')
      const source = "{ preset: github, secrets: ['${env:X}'] }"
      writeFileSync(file, `window: 24h\nprocessing: { ${processing} }\nsources: { any: ${source} }\n`)
      return loadSettings(file, {})
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }

  it('a window at the expected rate that does not fit is refused, with its figures and what to change', () => {
    const tight = settings('expectedEventsPerSecond: 200')
    checkClaimsFit(tight, 1, 700_000_000)
    assert.throws(() => checkClaimsFit(tight, 2, 700_000_000), {
      code: 'SP_SETTINGS',
      message:
        /200 events\/s .* 86400 s .* 2 processors make 34560000 claims of 40 bytes, 1382400000 bytes .* take 700000000 .*, enough for 101 events\/s: raise it, shorten the window/,
    })
  })

  it('a processor that could not hold its window does not start', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-claims-'))
    try {
      const module = path.join(folder, 'agent.mjs')
      const fields =
        "name: 'agent', version: '1', sources: null, retry: [], timeout: '1s', concurrency: 1, outputs: {}"
      writeFileSync(module, `export default { ${fields}, handler() {} }\n`)
      const tight = settings('expectedEventsPerSecond: 200, claimsBytesMax: 100000000')
      const nowhere = { brokers: ['127.0.0.1:9'], registryUrl: 'http://127.0.0.1:9' }
      await assert.rejects(startProcessors({ ...tight, processors: [{ module }] }, nowhere, keptLog().log), {
        code: 'SP_SETTINGS',
        message: /1 processor/,
      })
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('without an expected rate nothing is refused', () => {
    checkClaimsFit(settings(''), 1_000, 1)
  })

  it('limits outside their bounds are refused', () => {
    for (const wrong of ['claimsBytesMax: 1000', 'expectedEventsPerSecond: 0']) {
      assert.throws(() => settings(wrong), { code: 'SP_SETTINGS' })
    }
  })

  it('is given back when the partition goes, and not taken again by what still arrives', () => {
    const budget = new ClaimsBudget(16_500, () => {})
    const claims = new ClaimStore(budget)
    assert.equal(claims.hasRoom, true)
    claims.set('crm/1', { state: 'DONE', generation: 0, attempt: 1, windowMs: 1, at: 0 }, 0)
    assert.equal(claims.hasRoom, false)
    claims.close()
    claims.set('crm/2', { state: 'PENDING', generation: 0, attempt: 1, windowMs: 1, at: 0 }, 0)
    assert.equal(new ClaimStore(budget).hasRoom, true)
  })

  it('raises one alarm when it is used up, and another one after it was free meanwhile', () => {
    const alarms: SallyportError[] = []
    const budget = new ClaimsBudget(1_000, error => alarms.push(error))
    for (const bytes of [999, 1, 100, -120, 120, -500, 600]) budget.add(bytes)
    assert.deepEqual(
      alarms.map(({ code }) => code),
      ['SP_CLAIMS_MEMORY', 'SP_CLAIMS_MEMORY'],
    )
  })
})
