import { ERROR_CATALOGUE, type ErrorCode, SallyportError } from '@sallyport/core/errors'
import { runToEnd } from '../broker/daemon.ts'
import { sallyportCommand } from './supervised-service.ts'

/** What a processor module prints while it is loaded comes before it. */
const MARK = 'sallyport-processors:'

/** The line that tells the names. */
export function namesLine(names: readonly string[]): string {
  return MARK + JSON.stringify(names)
}

/**
 * The names of the settings' processors, or of those that are named. Their modules are loaded, and checked, in a process
 * of its own: a supervisor runs nobody else's code. Throws what that says.
 */
export async function processorNames(config: string, names: readonly string[]): Promise<readonly string[]> {
  const { command, args } = sallyportCommand(['processor', ...names, '--config', config, '--names'])
  const { code, output } = await runToEnd(command, args)
  const lines = output.split('\n')
  const told = lines.findLast(line => line.startsWith(MARK))
  if (code === 0 && told !== undefined) return JSON.parse(told.slice(MARK.length)) as string[]
  const [, name = '', message = ''] = /^(SP_\w+): (.*)$/m.exec(output) ?? []
  if (Object.hasOwn(ERROR_CATALOGUE, name)) throw new SallyportError(name as ErrorCode, message)
  throw new Error(`the processors cannot be loaded:\n${output.trimEnd()}`)
}
