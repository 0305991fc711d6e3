import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { watchFiles } from '@sallyport/ingress/file-watch'

describe('watching files', () => {
  it('sees a change that falls behind the reading of the change before it', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-watch-'))
    const file = path.join(folder, 'secret')
    writeFileSync(file, 'first')
    const stopping = new AbortController()
    let reads = 0
    const watching = watchFiles(
      () => [file],
      () => {
        reads++
        // Whoever writes slowly ends after the first half was read.
        if (reads === 1) writeFileSync(file, 'second, whole')
        else stopping.abort()
      },
      stopping.signal,
      5,
    )
    // The first look is taken at once: what is written after it is a change.
    await new Promise(resolve => setImmediate(resolve))
    while (reads === 0) {
      writeFileSync(file, `second${Date.now()}`)
      await new Promise(resolve => setTimeout(resolve, 10))
    }
    await watching
    assert.equal(reads, 2)
    rmSync(folder, { recursive: true })
  })
})
