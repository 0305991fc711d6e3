import { fileURLToPath } from 'node:url'
import { loadSettings } from '@sallyport/core/settings'
import { asyncApiText } from './asyncapi-text.ts'
import { currentSchemas } from './schema-files.ts'
import { contractTypes } from './typescript.ts'

const ROOT = new URL('../../../../', import.meta.url)

/** A committed file that follows from the schemas, the topics and the settings, and what it should hold. */
export interface GeneratedFile {
  readonly url: URL
  readonly text: string
}

/** What `npm run contract` writes. A test compares it with what is committed. */
export async function generatedFiles(): Promise<GeneratedFile[]> {
  const settings = loadSettings(fileURLToPath(new URL('sallyport.yaml', ROOT)), {})
  return [
    { url: new URL('services/core/src/contract.ts', ROOT), text: contractTypes(currentSchemas()) },
    { url: new URL('schemas/asyncapi.yaml', ROOT), text: await asyncApiText(settings) },
  ]
}
