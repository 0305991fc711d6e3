/**
 * Makes `dist/` and `schemas/` for npm, which cannot have the repository's private packages: tsc compiles the
 * files of core that tsconfig.build.json names along with ours, and their imports are made relative. The folders keep the places that they
 * have to each other in the repository, so that core finds the schemas.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'

const HERE = import.meta.dirname
const ROOT = path.resolve(HERE, '../..')
const DIST = path.join(HERE, 'dist')

for (const made of ['dist', 'schemas']) rmSync(path.join(HERE, made), { recursive: true, force: true })
// npm pack prints its result on standard output: nothing else may.
execFileSync(path.join(ROOT, 'node_modules/.bin/tsc'), ['-p', path.join(HERE, 'tsconfig.build.json')], {
  stdio: ['ignore', 2, 2],
})
for (const name of readdirSync(DIST, { recursive: true, encoding: 'utf8' })) {
  if (!/\.(js|d\.ts)$/.test(name)) continue
  const file = path.join(DIST, name)
  writeFileSync(file, publishedImports(file, readFileSync(file, 'utf8')))
}
for (const name of readdirSync(path.join(ROOT, 'schemas')).filter(name => /\.avsc$|^asyncapi/.test(name))) {
  cpSync(path.join(ROOT, 'schemas', name), path.join(HERE, 'schemas', name))
}
cpSync(path.join(ROOT, 'LICENSE'), path.join(HERE, 'LICENSE'))

/** `@sallyport/core/headers` → `../../core/src/headers.js`, as seen from the file; tsc leaves `.ts` in declarations. */
function publishedImports(file: string, text: string): string {
  const core = path.relative(path.dirname(file), path.join(DIST, 'core/src'))
  return text
    .replaceAll(/'@sallyport\/core\/([\w/-]+)'/g, `'${core}/$1.js'`)
    .replaceAll(/from '(\.[\w./-]+)\.ts'/g, "from '$1.js'")
}
