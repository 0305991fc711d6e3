import { readFileSync } from 'node:fs'
import type { Settings } from '@sallyport/core/settings'
import { loadProcessors } from '@sallyport/processor/config'
import YAML from 'yaml'
import { asyncApi } from './asyncapi.ts'

/** The AsyncAPI document of these settings, as YAML. Throws `SP_PROCESSOR` where a processor cannot be loaded. */
export async function asyncApiText(settings: Settings): Promise<string> {
  const document = asyncApi(settings, await loadProcessors(settings), productVersion())
  return YAML.stringify(document, { lineWidth: 0, aliasDuplicateObjects: false })
}

function productVersion(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}
