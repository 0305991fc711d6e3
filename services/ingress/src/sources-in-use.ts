/** The doors as they are now, and how they are taken from their files again while deliveries come in. */
import type { Clock } from '@sallyport/core/clock'
import { errorMessage } from '@sallyport/core/errors'
import type { Log } from '@sallyport/core/log'
import { loadSettings, type Settings } from '@sallyport/core/settings'
import { type Door, openDoors } from './config.ts'

const FILE_REFERENCE = /\$\{file:([^}]+)\}/g

/**
 * A reload replaces all doors at once or none: a delivery under way keeps the door that it came through, and a wrong
 * file changes nothing and says why.
 */
export class SourcesInUse {
  readonly #env: NodeJS.ProcessEnv
  readonly #clock: Clock
  readonly #log: Log
  #settings: Settings
  #doors: ReadonlyMap<string, Door>

  /** Throws what `openDoors` throws. */
  constructor(settings: Settings, env: NodeJS.ProcessEnv, clock: Clock, log: Log) {
    this.#env = env
    this.#clock = clock
    this.#log = log
    this.#settings = settings
    this.#doors = openDoors(settings, env, clock)
  }

  get doors(): ReadonlyMap<string, Door> {
    return this.#doors
  }

  /** Every file that the doors were made of. */
  get files(): readonly string[] {
    const { file, sources } = this.#settings
    const secrets = [...JSON.stringify(sources).matchAll(FILE_REFERENCE)].map(([, name]) => name as string)
    const stores = [...this.#doors.values()].flatMap(({ secretStore }) => secretStore ?? [])
    return [file, ...secrets, ...stores]
  }

  /** Reads sources and secrets again. Other settings need a restart, which the log says where one differs. */
  reload(): void {
    const { file } = this.#settings
    try {
      const settings = loadSettings(file, this.#env)
      const doors = openDoors(settings, this.#env, this.#clock)
      this.#sayWhatWaits(settings)
      this.#settings = { ...this.#settings, sources: settings.sources }
      this.#doors = doors
      this.#log.info({ file, sources: [...doors.keys()] }, 'sources and secrets are reloaded')
    } catch (error) {
      this.#log.error({ file, error: errorMessage(error) }, 'sources and secrets stay as they were')
    }
  }

  #sayWhatWaits(settings: Settings): void {
    const { host, port, ...limits } = settings.ingress
    const { host: _host, port: _port, ...inUse } = this.#settings.ingress
    if (JSON.stringify(limits) !== JSON.stringify(inUse) || settings.windowMs !== this.#settings.windowMs) {
      this.#log.warn({ file: settings.file }, 'settings beside the sources have changed: restart to use them')
    }
  }
}
