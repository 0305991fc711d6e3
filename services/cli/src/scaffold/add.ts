import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { durationMs } from '@sallyport/core/duration'
import { SallyportError } from '@sallyport/core/errors'
import { loadSettings } from '@sallyport/core/settings'
import { checkProcessorName } from '@sallyport/core/topics'
import { findPreset, listPresets } from '@sallyport/ingress/schemes/presets'
import type { Preset } from '@sallyport/ingress/schemes/scheme'
import { UsageError } from '../exit.ts'
import { print } from '../output.ts'
import { processorModule } from './processor-module.ts'
import { SettingsDocument } from './settings-document.ts'
import { sourceScaffold, windowAdvice } from './source-entry.ts'

interface AddSourceOptions {
  readonly config: string
  readonly preset?: string
}

interface AddProcessorOptions {
  readonly config: string
  readonly file?: string
  readonly source: readonly string[]
}

const SOURCE_NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/

/** `sallyport add source`. */
export async function addSource(name: string, options: AddSourceOptions): Promise<void> {
  if (!SOURCE_NAME.test(name)) {
    throw new UsageError(`${name} cannot be a source: use lower-case letters, digits, - and _, at most 63`)
  }
  const preset = presetNamed(options.preset ?? name)
  const document = new SettingsDocument(options.config)
  refuseTaken(document, 'source', name, document.at('sources', name) !== undefined)
  const { entry, comment, variables, open } = sourceScaffold(name, preset)
  document.set('sources', name, entry, comment)
  document.save()
  const settings = loadSettings(options.config, process.env)
  await print(`${name} is in ${options.config}: deliveries go to /webhooks/${name}. Next:`)
  for (const variable of variables) await print(`  set ${variable}`)
  for (const [setting, words] of open) await print(`  ${setting}: ${words}`)
  const advice = windowAdvice(preset, settings.windowMs, durationMs(preset.retryHorizon, 'retryHorizon'))
  if (advice !== undefined) await print(`  ${advice}`)
  await print(`  npx sallyport config check --config ${options.config}`)
}

function presetNamed(name: string): Preset {
  const preset = findPreset(name)
  if (preset !== undefined) return preset
  const known = listPresets().map(entry => entry.name)
  throw new UsageError(
    `${name} is no known sender: name one with --preset, or write a scheme of your own into the settings. Known: ${known.join(', ')}`,
  )
}

/** `sallyport add processor`. */
export async function addProcessor(name: string, options: AddProcessorOptions): Promise<void> {
  checkProcessorName(name)
  const document = new SettingsDocument(options.config)
  const folder = path.dirname(path.resolve(options.config))
  const file = path.resolve(options.file ?? path.join(folder, 'agents', `${name}.ts`))
  refuseTaken(document, 'processor module', file, existsSync(file))
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, processorModule(name, options.source), { flag: 'wx' })
  const relative = path.relative(folder, file)
  document.append('processors', { module: relative.startsWith('.') ? relative : `./${relative}` })
  document.save()
  await print(`${file} is written and named in ${options.config}. Next:`)
  await print('  write its handler')
  await print(`  npx sallyport config check --config ${options.config}`)
}

function refuseTaken(document: SettingsDocument, what: string, name: string, taken: boolean): void {
  if (!taken) return
  throw new SallyportError(
    'SP_SETTINGS',
    `the ${what} ${name} is there already (${document.file}): change it there`,
  )
}
