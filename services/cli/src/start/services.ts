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
import type { Progress } from './progress.ts'
import { serviceLog } from './service-log.ts'

/** A service with what it takes to be used and to be ended. */
export interface ReadyService extends RunningService {
  /** Resolves when it does its work; rejects when it cannot. */
  readonly ready: Promise<void>
}

/** The services of one `npm start`, in this process. */
export class Services {
  readonly #settings: Settings
  readonly #progress: Progress
  readonly #logFile: LogFile
  readonly #ingressModule = import('@sallyport/ingress/main')
  readonly #processorModule = import('@sallyport/processor/main')

  /** Loads the services' code at once, while the broker comes up. */
  constructor(settings: Settings, home: string, progress: Progress) {
    this.#settings = settings
    this.#progress = progress
    this.#logFile = new LogFile(join(home, 'logs', 'services.log'))
    this.#ingressModule.catch(() => {})
    this.#processorModule.catch(() => {})
  }

  /** Where their logs are. */
  get logPath(): string {
    return this.#logFile.path
  }

  /** Throws what is wrong in the settings of sources and processors, before anything is started. */
  async check(env: NodeJS.ProcessEnv): Promise<void> {
    const [{ openDoors }, { loadProcessors }, { checkClaimsFit }, { memoryLimits }] = await Promise.all([
      import('@sallyport/ingress/config'),
      import('@sallyport/processor/config'),
      import('@sallyport/processor/claims-budget'),
      import('@sallyport/processor/memory-limits'),
    ])
    openDoors(this.#settings, env, systemClock)
    const { claimsBytesMax } = memoryLimits(this.#settings)
    checkClaimsFit(this.#settings, (await loadProcessors(this.#settings)).length, claimsBytesMax)
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

  async startProcessors(connection: Connection): Promise<ReadyService> {
    const { startProcessors } = await this.#processorModule
    return await startProcessors(this.#settings, connection, this.#log('processor'))
  }

  async startIngress(connection: Connection): Promise<ReadyService & { readonly url: string }> {
    const { startIngress } = await this.#ingressModule
    return await startIngress(this.#settings, connection, this.#log('ingress'))
  }

  #log(name: string) {
    return serviceLog(name, this.#logFile, line => this.#progress.print(line))
  }
}

/** Waits until a service does its work; rejects when it fails first. */
export async function untilWorking(service: ReadyService): Promise<void> {
  await Promise.race([service.ready, service.failed])
}
