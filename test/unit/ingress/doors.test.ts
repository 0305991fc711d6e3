import assert from 'node:assert/strict'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { loadSettings } from '@sallyport/core/settings'
import { openDoors } from '@sallyport/ingress/config'

const SCHEME = "scheme: { header: X-Signature, algorithm: hmac-sha256, encoding: hex }, secrets: ['${env:S}']"

describe('a source’s door', () => {
  it('has the source’s own window for ids that are digests, and a day where it names none', () => {
    const file = path.join(mkdtempSync(path.join(tmpdir(), 'sallyport-doors-')), 'sallyport.yaml')
    writeFileSync(file, `sources: { own: { ${SCHEME}, window: 1h }, usual: { ${SCHEME} } }`)
    const doors = openDoors(loadSettings(file, {}), { S: 'secret' }, Date.now)
    assert.equal(doors.get('own')?.source.digestWindowMs, 3_600_000)
    assert.equal(doors.get('usual')?.source.digestWindowMs, 86_400_000)
  })

  it('does not open where that window is none', () => {
    const file = path.join(mkdtempSync(path.join(tmpdir(), 'sallyport-doors-')), 'sallyport.yaml')
    writeFileSync(file, `sources: { own: { ${SCHEME}, window: 0s } }`)
    assert.throws(() => openDoors(loadSettings(file, {}), { S: 'secret' }, Date.now), {
      code: 'SP_SETTINGS',
      message: /sources\.own\.window is 0s: set it from 1s to 365d/,
    })
  })
})
