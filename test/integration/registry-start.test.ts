import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { startReadyRegistry } from 'sallyport/broker/jvm'
import { fetchJvmRuntime, findJava } from 'sallyport/broker/jvm-runtime'
import { LogFile } from 'sallyport/broker/log-file'
import { freePort } from 'sallyport/broker/ports'
import { CACHE_FOLDER } from 'sallyport/start/home'
import { sharedCluster } from '../support/shared-cluster.ts'

describe('a schema registry that dies while it comes up', function () {
  this.timeout(180_000)
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-registry-'))
  after(() => rmSync(folder, { recursive: true }))

  /** Stands in for Java: dies so many times, and is Java then. Each start leaves a line. */
  async function start(deaths: number): Promise<{ starts: () => number; end: () => Promise<void> }> {
    const { brokers } = await sharedCluster()
    const found = await findJava(process.env)
    assert.ok('java' in found)
    const runtime = await fetchJvmRuntime(CACHE_FOLDER, found.java, process.env)
    const [java, starts] = [path.join(folder, `java-${deaths}`), path.join(folder, `starts-${deaths}`)]
    writeFileSync(
      java,
      `#!/bin/sh
echo start >> '${starts}'
[ "$(wc -l < '${starts}')" -le ${deaths} ] && { echo 'java.lang.NullPointerException: boot' >&2; exit 1; }
exec '${runtime.java}' "$@"
`,
    )
    chmodSync(java, 0o755)
    const count = () => readFileSync(starts, 'utf8').split('\n').length - 1
    const log = new LogFile(path.join(folder, `${deaths}.log`))
    try {
      const daemon = await startReadyRegistry(
        { port: await freePort(), bootstrap: brokers.join(',') },
        { ...runtime, java },
        { log },
      )
      return { starts: count, end: async () => void (await daemon.stop(0)) }
    } catch (error) {
      assert.equal(count(), 3, 'it is started three times before that is given up')
      throw error
    } finally {
      log.close()
    }
  }

  it('is started again', async () => {
    const registry = await start(2)
    await registry.end()
    assert.equal(registry.starts(), 3)
  })

  it('is given up after three times, with its last error', async () => {
    await assert.rejects(start(9), { code: 'SP_BROKER_FAILED', message: /NullPointerException: boot/ })
  })
})
