/** Settings that are taken from their files again while deliveries come in. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createLog } from '@sallyport/core/log'
import { metrics } from '@sallyport/core/metrics'
import { loadSettings } from '@sallyport/core/settings'
import { SourcesInUse } from '@sallyport/ingress/sources-in-use'

const GOOD = "sources: { crm: { preset: generic, secrets: ['${env:CRM}'] } }\n"

describe('a reload', () => {
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'sallyport-reload-'))
  })

  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  async function metric(name: string): Promise<number | undefined> {
    const text = await metrics.getSingleMetricAsString(name)
    const line = text.split('\n').find(each => each.startsWith(`${name}{what="sources"}`))
    return line === undefined ? undefined : Number(line.split(' ')[1])
  }

  it('that fails shows in the metrics for as long as a secret that was taken away is still accepted', async () => {
    const file = path.join(folder, 'sallyport.yaml')
    writeFileSync(file, GOOD)
    const env = { CRM: 'leaked-leaked-leaked' }
    const log = createLog('reload', { write: () => {} })
    const sources = new SourcesInUse(loadSettings(file, env), env, Date.now, log)
    assert.equal(await metric('sallyport_ingress_reload_failed'), 0)
    const before = (await metric('sallyport_ingress_reload_failures_total')) ?? 0

    // The new file names a secret that is not there.
    writeFileSync(file, GOOD.replace('CRM}', 'CRM_NEW}'))
    for (const times of [1, 2]) {
      sources.reload()
      assert.equal(await metric('sallyport_ingress_reload_failed'), 1)
      assert.equal(await metric('sallyport_ingress_reload_failures_total'), before + times)
    }

    Object.assign(env, { CRM_NEW: 'new-new-new-new-new' })
    sources.reload()
    assert.equal(await metric('sallyport_ingress_reload_failed'), 0)
  })
})
