/**
 * `sallyport processor --isolate`: each processor in a process of its own, under this one, which runs nobody's handlers. A
 * crash, a full heap or an endless loop of one touches no other.
 */
import { connectionFromEnvironment } from '@sallyport/core/connection'
import { createLog } from '@sallyport/core/log'
import { OPERATOR_LIMITS } from '@sallyport/core/peer'
import { loadSettings } from '@sallyport/core/settings'
import { AdminListener, type ProcessorsState } from '@sallyport/processor/admin'
import { AggregatorRegistry } from 'prom-client'
import type { Exit } from './broker/daemon.ts'
import { EXIT } from './exit.ts'
import { stopSignal } from './stop-signal.ts'
import { processorNames } from './supervision/processor-names.ts'
import { SupervisedService } from './supervision/supervised-service.ts'

/** Runs them until it is asked to stop. Returns the exit code: that of the first process that did not end well. */
export async function isolateProcessors(names: readonly string[], config: string): Promise<number> {
  const settings = loadSettings(config, process.env)
  const connection = connectionFromEnvironment(process.env)
  const log = createLog('supervisor')
  const all = await processorNames(config, names)
  const { adminHost, adminPort, hangTimeoutMs, drainTimeoutMs } = settings.processing
  let isDraining = false
  const services: SupervisedService[] = []
  const state = (): ProcessorsState =>
    isDraining ? 'draining' : services.every(({ isReady }) => isReady) ? 'ready' : 'starting'
  const admin =
    adminPort === undefined ? undefined : new AdminListener(state, OPERATOR_LIMITS, () => metricsOf(services))
  if (admin !== undefined) {
    log.info(
      { adminUrl: await admin.listen(adminHost, adminPort as number) },
      'the operators’ listener is open',
    )
  }
  for (const name of all) {
    const service = new SupervisedService({
      name: `processor ${name}`,
      args: () => ['processor', name, '--config', config],
      connection,
      hangMs: hangTimeoutMs,
      sharers: all.length,
      failsAtStart: false,
      output: lines => process.stdout.write(lines),
      errors: lines => process.stderr.write(lines),
      say: sentence => log.warn({ processor: name }, `the process of ${name} ${sentence}`),
    })
    services.push(service)
  }
  await stopSignal()
  isDraining = true
  const exits = await Promise.all(services.map(service => service.drain(drainTimeoutMs)))
  admin?.close()
  return exits.map(codeOf).find(code => code !== EXIT.done) ?? EXIT.done
}

function codeOf({ code }: Exit): number {
  return code ?? EXIT.error
}

/** What all of them counted, as one. */
async function metricsOf(services: readonly SupervisedService[]): Promise<string> {
  const all = await Promise.all(services.map(service => service.metrics()))
  return await AggregatorRegistry.aggregate(all as object[]).metrics()
}
