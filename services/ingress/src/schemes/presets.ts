import { BODY_BASE64_PRESETS } from './presets-body-base64.ts'
import { BODY_HEX_PRESETS } from './presets-body-hex.ts'
import { CODE_PRESETS } from './presets-code.ts'
import { JWT_PRESETS } from './presets-jwt.ts'
import { KEY_PRESETS, TOKEN_PRESETS, URL_PRESETS } from './presets-other.ts'
import { STANDARD_PRESETS } from './presets-standard.ts'
import { TIMED_PRESETS } from './presets-timed.ts'
import type { Preset } from './scheme.ts'

/** Every sender that is known by name, the most frequent first. */
const PRESETS: readonly Preset[] = [
  ...STANDARD_PRESETS,
  ...BODY_HEX_PRESETS,
  ...BODY_BASE64_PRESETS,
  ...TIMED_PRESETS,
  ...URL_PRESETS,
  ...KEY_PRESETS,
  ...TOKEN_PRESETS,
  ...CODE_PRESETS,
  ...JWT_PRESETS,
].toSorted((a, b) => a.rank - b.rank || a.name.localeCompare(b.name))

const BY_NAME = new Map(PRESETS.map(preset => [preset.name, preset]))

/** All presets, the most frequent sender first. */
export function listPresets(): readonly Preset[] {
  return PRESETS
}

/** The preset of a name, or undefined. */
export function findPreset(name: string): Preset | undefined {
  return BY_NAME.get(name)
}
