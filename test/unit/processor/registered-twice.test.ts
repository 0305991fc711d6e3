import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { loadSettings, type Settings } from '@sallyport/core/settings'
import { loadProcessors } from '@sallyport/processor/config'
import { startProcessors } from '@sallyport/processor/main'
import { keptLog } from '../../support/ingress.ts'

describe('a processor that is registered twice', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'sallyport-twice-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  /** Settings whose processors are modules of these names, by file. */
  function settingsOf(modules: Readonly<Record<string, string>>, processors: string): Settings {
    for (const [file, name] of Object.entries(modules)) {
      const fields = `name: '${name}', version: '1', sources: null, retry: [], timeout: '1s', concurrency: 1, outputs: {}`
      writeFileSync(path.join(folder, file), `export default { ${fields}, handler() {} }\n`)
    }
    const file = path.join(folder, 'sallyport.yaml')
    const source = "{ preset: github, secrets: ['${env:X}'] }"
    writeFileSync(file, `sources: { any: ${source} }\nprocessors: [${processors}]\n`)
    return loadSettings(file, {})
  }

  it('by two entries of one module is refused, however the entries are written, and says what to do instead', async () => {
    for (const processors of ['./a.mjs, ./a.mjs', './a.mjs, { module: ./b/../a.mjs, concurrency: 5 }']) {
      const settings = settingsOf({ 'a.mjs': 'agent' }, processors)
      await assert.rejects(loadProcessors(settings), {
        code: 'SP_PROCESSOR',
        message:
          /lists \S+\/a\.mjs twice, which is the processor agent: remove one entry; .* start more processes$/,
      })
    }
  })

  it('by two modules of one name is refused, and both are named', async () => {
    const settings = settingsOf({ 'a.mjs': 'agent', 'b.mjs': 'agent' }, './a.mjs, ./b.mjs')
    await assert.rejects(loadProcessors(settings), {
      code: 'SP_PROCESSOR',
      message: /are named agent, \S+\/a\.mjs and \S+\/b\.mjs: rename one$/,
    })
    const connection = { brokers: ['127.0.0.1:9'], registryUrl: 'http://127.0.0.1:9' }
    await assert.rejects(startProcessors(settings, connection, keptLog().log), { code: 'SP_PROCESSOR' })
  })

  it('by naming it twice on the command line runs once', async () => {
    const settings = settingsOf({ 'a.mjs': 'agent', 'b.mjs': 'other' }, './a.mjs, ./b.mjs')
    const loaded = await loadProcessors(settings, ['agent', 'agent'])
    assert.deepEqual(
      loaded.map(({ name }) => name),
      ['agent'],
    )
  })
})
