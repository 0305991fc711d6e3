/** What `sallyport add source` writes for a preset. */
import { durationText } from '@sallyport/core/duration'
import type { OptionRule, Preset } from '@sallyport/ingress/schemes/scheme'

const USERNAME: OptionRule = { kind: 'text', required: true, words: 'the user name of basic authentication' }

/** `acme-crm` → `ACME_CRM`. */
function variablePart(name: string): string {
  return name.toUpperCase().replaceAll(/[^A-Z0-9]+/g, '_')
}

export interface SourceScaffold {
  readonly entry: Readonly<Record<string, unknown>>
  /** Lines above the entry. */
  readonly comment: readonly string[]
  /** Environment variables that must be set, with what they are. */
  readonly variables: readonly string[]
  /** Settings that only the user knows, and what they mean. */
  readonly open: readonly (readonly [setting: string, words: string])[]
}

export function sourceScaffold(name: string, preset: Preset): SourceScaffold {
  const secret = `${variablePart(name)}_WEBHOOK_SECRET`
  const key = `${variablePart(name)}_PUBLIC_KEY`
  const needs = preset.needs ?? 'secrets'
  const options = {
    ...preset.options,
    ...(preset.scheme?.algorithm === 'basic' ? { username: USERNAME } : {}),
  }
  const required = Object.entries(options).filter(([, rule]) => rule.required === true)
  const entry = {
    preset: preset.name,
    ...(needs === 'secrets' ? { secrets: [`\${env:${secret}}`] } : {}),
    ...(needs === 'publicKeys' ? { publicKeys: [`\${env:${key}}`] } : {}),
    ...Object.fromEntries(required.map(([setting, rule]) => [setting, placeholder(name, setting, rule)])),
  }
  const needed = required.map(([setting]) => `${variablePart(name)}_${variablePart(setting)}`)
  return {
    entry,
    comment: [preset.title, ...(preset.caution === undefined ? [] : [preset.caution])],
    variables: [...(needs === 'secrets' ? [secret] : needs === 'publicKeys' ? [key] : []), ...needed],
    open: required.map(([setting, rule]) => [setting, rule.words]),
  }
}

/** A reference to a variable, so that the file is complete and nothing in it is made up. */
function placeholder(name: string, setting: string, rule: OptionRule): unknown {
  const reference = `\${env:${variablePart(name)}_${variablePart(setting)}}`
  return rule.kind === 'texts' ? [reference] : reference
}

/** Why the window must grow for this sender, or undefined. */
export function windowAdvice(preset: Preset, windowMs: number, horizonMs: number): string | undefined {
  if (horizonMs <= windowMs) return undefined
  return `${preset.title} repeats deliveries for up to ${durationText(horizonMs)}: set window to at least that (it is ${durationText(windowMs)})`
}
