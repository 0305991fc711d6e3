import type { Connection } from '@sallyport/core/connection'
import type { Command } from 'commander'
import { checkCluster } from '../check/cluster-check.ts'
import { type Finding, ok, problem, report } from '../check/finding.ts'
import { checkSettings } from '../check/settings-check.ts'
import { connectionOf } from '../kafka-options.ts'
import { declareSetupOptions, type SetupOptions } from '../setup-options.ts'
import { withCrmSecret } from '../start/crm-secret.ts'
import { homeFolder } from '../start/home.ts'

const EXAMPLES = `
Examples:
  sallyport doctor
  sallyport doctor -c production.yaml --brokers kafka:9092 --registry http://registry:8081 --json

It changes nothing, but for a topic of its own that lives for a moment: only a record tells what the brokers’ clock
says. Ends with 4 where something wants doing.`

/** `sallyport doctor`: what keeps the services from working, or will, and what to do about each. */
export function register(program: Command): void {
  declareSetupOptions(program.command('doctor'))
    .description('check Node, settings, secrets, certificate, brokers, clock, topics and schemas')
    .addHelpText('after', EXAMPLES)
    .action(doctor)
}

async function doctor(options: SetupOptions): Promise<void> {
  const { findings, settings } = await checkSettings(
    options.config,
    withCrmSecret(homeFolder(process.env), process.env),
  )
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
