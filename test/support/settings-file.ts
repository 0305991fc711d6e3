import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { PARTITIONS, type TestProcessor } from './processor.ts'

/** A settings file whose one processor has the name, the source and the outputs of this one, and does nothing. */
export function settingsFileFor({ config, source, output }: TestProcessor, partitions = PARTITIONS): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-settings-'))
  const definition = { name: config.name, version: '1', sources: [source], retry: [], timeout: '1s' }
  const outputs = { [output]: 'agent-event.v1' }
  const fields = JSON.stringify({ ...definition, concurrency: 1, outputs }).slice(1, -1)
  writeFileSync(path.join(folder, 'agent.mjs'), `export default { ${fields}, handler() {} }\n`)
  const file = path.join(folder, 'sallyport.yaml')
  writeFileSync(
    file,
    `topics: { partitions: ${partitions} }
sources:
  ${source}: { scheme: { header: X-Signature, algorithm: hmac-sha256, encoding: hex }, secrets: ['\${env:NONE}'] }
processors: [./agent.mjs]
`,
  )
  return file
}
