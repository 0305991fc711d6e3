import type { Connection } from '@sallyport/core/connection'
import { connectionOf } from '../kafka-options.ts'
import type { SetupOptions } from '../setup-options.ts'
import { checkCluster } from './cluster-check.ts'
import { type Finding, ok, problem, report } from './finding.ts'
import { checkSettings } from './settings-check.ts'

/** `sallyport doctor`. */
export async function doctor(options: SetupOptions): Promise<void> {
  const { findings, settings } = await checkSettings(options.config, process.env)
  const node = ok('node', `${process.version}, as the project brings it`)
  const cluster = settings === undefined ? [] : await clusterFindings(options, settings)
  await report([node, ...findings, ...cluster], options.json)
}

async function clusterFindings(
  options: SetupOptions,
  settings: Parameters<typeof checkCluster>[0],
): Promise<Finding[]> {
  let connection: Connection
  try {
    connection = connectionOf(options, process.env)
  } catch (error) {
    return [problem('connection', error)]
  }
  return await checkCluster(settings, connection)
}
