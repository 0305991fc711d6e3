import { join } from 'node:path'
import { systemClock } from '@sallyport/core/clock'
import type { Connection } from '@sallyport/core/connection'
import { alterTopics } from '@sallyport/core/kafka/admin'
import { createKafka } from '@sallyport/core/kafka/client'
import type { RunningService } from '@sallyport/core/lifecycle'
import { provision } from '@sallyport/core/provision'
import type { Settings } from '@sallyport/core/settings'
import { LogFile } from '../broker/log-file.ts'
import { provisionOf } from '../provision-of.ts'
import { processorNames } from '../supervision/processor-names.ts'
import { SupervisedService, type SupervisedSpec } from '../supervision/supervised-service.ts'
import type { Progress } from './progress.ts'
import { serviceLog, serviceOutput } from './service-log.ts'

/** A service with what it takes to be used and to be ended. */
export interface ReadyService extends RunningService {
  /** Resolves when it does its work; rejects when it cannot. */
  readonly ready: Promise<void>
}

/** The services of one `npm start`, each in a process of its own that this one keeps running. */
export class Services {
  readonly #settings: Settings
  readonly #progress: Progress
  readonly #logFile: LogFile
  #processorNames: readonly string[] = []

  constructor(settings: Settings, home: string, progress: Progress) {
    this.#settings = settings
    this.#progress = progress
    this.#logFile = new LogFile(join(home, 'logs', 'services.log'))
  }

  /** Where their logs are. */
  get logPath(): string {
    return this.#logFile.path
  }

  /** Throws what is wrong in the settings of sources and processors, before anything is started. */
  async check(env: NodeJS.ProcessEnv): Promise<void> {
    const { openDoors } = await import('@sallyport/ingress/config')
    openDoors(this.#settings, env, systemClock)
    this.#processorNames = await processorNames(this.#settings.file, [])
  }

  /**
   * Creates topics and registers schemas. On a broker of our own the settings win: existing topics are changed to what
   * they say. On somebody else's cluster that is for `sallyport topics apply`.
   */
  async provision(connection: Connection, isOwnBroker: boolean): Promise<void> {
    const log = this.#log('provision')
    if (isOwnBroker) {
      const kafka = createKafka(connection, 'sallyport-start', log)
      for (const { topic, setting, found, wanted } of await alterTopics(
        kafka,
        (await provisionOf(this.#settings)).topics,
      )) {
        this.#progress.say(`${topic}: ${setting} was ${found}, is ${wanted}`)
      }
    }
    await provision(this.#settings, connection, log)
  }

  /** Each in a process of its own. */
  startProcessors(connection: Connection): ReadyService {
    const folder = this.#settings.processing.checkpointFolder
    const checkpoints = folder === undefined ? [] : ['--checkpoint-folder', folder]
    const all = this.#processorNames.map(name =>
      this.#supervise(`processor ${name}`, () => ['processor', name, ...checkpoints], connection),
    )
    const ready = Promise.all(all.map(service => service.ready)).then(() => {})
    const failed = Promise.race(all.map(service => service.failed))
    ready.catch(() => {})
    failed.catch(() => {})
    return {
      name: 'processor',
      ready,
      failed,
      async drain(deadlineMs) {
        await Promise.all(all.map(service => service.drain(deadlineMs)))
      },
    }
  }

  startIngress(connection: Connection): ReadyService & { readonly url: string } {
    const service = this.#supervise('ingress', url => ['ingress', ...samePort(url)], connection)
    return {
      name: 'ingress',
      ready: service.ready,
      failed: service.failed,
      async drain(deadlineMs) {
        await service.drain(deadlineMs)
      },
      get url() {
        return service.url as string
      },
    }
  }

  #supervise(name: string, args: SupervisedSpec['args'], connection: Connection): SupervisedService {
    const log = serviceOutput(this.#logFile, line => this.#progress.print(line))
    return new SupervisedService({
      name,
      args: url => [...args(url), '--config', this.#settings.file],
      connection,
      hangMs: this.#settings.processing.hangTimeoutMs,
      sharers: this.#processorNames.length,
      failsAtStart: true,
      output: log,
      errors: log,
      say: sentence => this.#progress.say(`the ${name} ${sentence}`),
    })
  }

  #log(name: string) {
    return serviceLog(name, this.#logFile, line => this.#progress.print(line))
  }
}

/** What is started again listens where it did: any free port is no other one then. */
function samePort(url: string | undefined): string[] {
  const port = url === undefined ? '' : new URL(url).port
  return port === '' ? [] : ['--port', port]
}

/** Waits until a service does its work; rejects when it fails first. */
export async function untilWorking(service: ReadyService): Promise<void> {
  await Promise.race([service.ready, service.failed])
}
