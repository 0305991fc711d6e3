import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { TestProcessor } from './processor.ts'

/** A settings file whose one processor has the name and the source of this one, and does nothing. */
export function settingsFileFor({ config, source }: TestProcessor): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-settings-'))
  const definition = { name: config.name, version: '1', sources: [source], retry: [], timeout: '1s' }
  const fields = JSON.stringify({ ...definition, concurrency: 1, outputs: {} }).slice(1, -1)
  writeFileSync(path.join(folder, 'agent.mjs'), `export default { ${fields}, handler() {} }\n`)
  const file = path.join(folder, 'sallyport.yaml')
  writeFileSync(
    file,
    `sources:
  ${source}: { scheme: { header: X-Signature, algorithm: hmac-sha256, encoding: hex }, secrets: ['\${env:NONE}'] }
processors: [./agent.mjs]
`,
  )
  return file
}
