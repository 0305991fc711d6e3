import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'

/**
 * The options that a script was given. With `--help` it prints the comment that the script begins with, and ends; an
 * option that it does not know ends it with 2.
 */
export function scriptOptions<T extends ParseArgsOptionsConfig>(script: string, options: T) {
  const known = { ...options, help: { type: 'boolean' } } as const
  try {
    const { values } = parseArgs({ options: known, allowNegative: true })
    if (!('help' in values)) return values
  } catch (error) {
    console.error(`${(error as Error).message}; --help tells what there is`)
    process.exit(2)
  }
  console.log(headOf(readFileSync(fileURLToPath(script), 'utf8')))
  process.exit(0)
}

/** The text of the comment that a source begins with. */
function headOf(source: string): string {
  const [, comment = ''] = /^\/\*\*\n(.*?)\n \*\//s.exec(source) ?? []
  return comment.replace(/^ \* ?/gm, '')
}
