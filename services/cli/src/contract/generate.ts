/** `npm run contract`: writes the generated files. */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { generatedFiles } from './generated-files.ts'

for (const { url, text } of await generatedFiles()) {
  writeFileSync(url, text)
  console.log(`wrote ${fileURLToPath(url)}`)
}
