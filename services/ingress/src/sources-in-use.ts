/** The doors as they are now, and how they are taken from their files again while deliveries come in. */
import type { Clock } from '@sallyport/core/clock'
import { errorMessage } from '@sallyport/core/errors'
import type { Log } from '@sallyport/core/log'
import { reloadFailed, reloadFailuresTotal } from '@sallyport/core/metrics'
import type { SealingKeys } from '@sallyport/core/sealing'
import { loadSettings, type Settings, type SourceEntry } from '@sallyport/core/settings'
import { type Door, openDoor, openDoors, sealingKeys } from './config.ts'
import type { LearntSecrets } from './learning.ts'

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
  #sealing: SealingKeys | undefined
  #learnt: LearntSecrets = new Map()
  #doors: ReadonlyMap<string, Door>

  /** Throws what `openDoors` throws. */
  constructor(settings: Settings, env: NodeJS.ProcessEnv, clock: Clock, log: Log) {
    this.#env = env
    this.#clock = clock
    this.#log = log
    this.#settings = settings
    this.#sealing = sealingKeys(settings, env)
    this.#doors = openDoors(settings, env, clock)
    reloadFailed.set({ what: 'sources' }, 0)
  }

  /** The keys that seal what sources learn; undefined where the settings name none. */
  get sealing(): SealingKeys | undefined {
    return this.#sealing
  }

  /** The sources that learn their secret. */
  get learners(): readonly string[] {
    return [...this.#doors.values()].flatMap(({ source }) => (source.learns ? source.name : []))
  }

  /** Takes what the sources have learnt: their doors alone are made anew. */
  takeLearnt(learnt: LearntSecrets): void {
    this.#learnt = learnt
    const doors = new Map(this.#doors)
    for (const name of this.learners) {
      try {
        const entry = this.#settings.sources[name] as SourceEntry
        doors.set(name, openDoor(name, entry, this.#env, this.#clock, learnt.get(name)))
      } catch (error) {
        this.#log.error({ source: name, error: errorMessage(error) }, 'what was learnt cannot be used')
      }
    }
    this.#doors = doors
  }

  get doors(): ReadonlyMap<string, Door> {
    return this.#doors
  }

  /** Every file that the doors were made of. */
  get files(): readonly string[] {
    const { file, sources, ingress } = this.#settings
    const references = JSON.stringify([sources, ingress.sealingKeys])
    const secrets = [...references.matchAll(FILE_REFERENCE)].map(([, name]) => name as string)
    return [file, ...secrets]
  }

  /** Reads sources and secrets again. Other settings need a restart, which the log says where one differs. */
  reload(): void {
    const { file } = this.#settings
    try {
      const settings = loadSettings(file, this.#env)
      const sealing = sealingKeys(settings, this.#env)
      const doors = openDoors(settings, this.#env, this.#clock, this.#learnt)
      this.#sayWhatWaits(settings)
      const { sealingKeys: _, ...inUse } = this.#settings.ingress
      const keys = settings.ingress.sealingKeys
      const ingress = keys === undefined ? inUse : { ...inUse, sealingKeys: keys }
      this.#settings = { ...this.#settings, sources: settings.sources, ingress }
      this.#sealing = sealing
      this.#doors = doors
      reloadFailed.set({ what: 'sources' }, 0)
      this.#log.info({ file, sources: [...doors.keys()] }, 'sources and secrets are reloaded')
    } catch (error) {
      reloadFailuresTotal.inc({ what: 'sources' })
      reloadFailed.set({ what: 'sources' }, 1)
      this.#log.error({ file, error: errorMessage(error) }, 'sources and secrets stay as they were')
    }
  }

  #sayWhatWaits(settings: Settings): void {
    const { host, port, sealingKeys: _keys, ...limits } = settings.ingress
    const { host: _host, port: _port, sealingKeys: _old, ...inUse } = this.#settings.ingress
    if (JSON.stringify(limits) !== JSON.stringify(inUse) || settings.windowMs !== this.#settings.windowMs) {
      this.#log.warn({ file: settings.file }, 'settings beside the sources have changed: restart to use them')
    }
  }
}
