/**
 * The registry denies everything for a while, as a proxy's page or in its own words: processes reach it through a proxy.
 * Meanwhile events come under a schema that no process has met, as those of an ingress of a later release do.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { EVENT_SCHEMA, parseSchema } from '@sallyport/core/codec'
import { createRegistry } from '@sallyport/core/kafka/registry'
import { type CannedAnswer, NO_SCHEMA, type RegistryProxy } from '../../support/registry-proxy.ts'
import type { Load } from './load.ts'

export const DENIALS = {
  words: NO_SCHEMA,
  page: { status: 404, body: '<html>404 Not Found</html>' },
} as const satisfies Record<string, CannedAnswer>

const POLL_MS = 50

export class RegistryFaults {
  readonly #proxy: RegistryProxy
  readonly #registryUrl: string
  readonly #load: Load
  #versions = 0
  #over: Promise<void> = Promise.resolve()

  constructor(proxy: RegistryProxy, registryUrl: string, load: Load) {
    this.#proxy = proxy
    this.#registryUrl = registryUrl
    this.#load = load
  }

  /** Resolves when the registry answers as it should. */
  get over(): Promise<void> {
    return this.#over
  }

  /** Begins a denial that goes on beside the next steps. Returns whether a process asked for a schema in it. */
  async deny(ms: number, denial: keyof typeof DENIALS): Promise<boolean> {
    await this.#over
    const field = `later${++this.#versions}`
    const newer = JSON.parse(EVENT_SCHEMA.text)
    newer.fields.push({ name: field, type: 'int', default: 0 })
    const schema = parseSchema(JSON.stringify(newer))
    // Under a subject of its own: processes that start later do not know it from the start.
    const schemaId = await createRegistry(this.#registryUrl).register(`chaos.${field}-value`, schema)
    const before = this.#proxy.denied
    this.#proxy.answer(DENIALS[denial])
    this.#load.encodeAs({ schemaId, type: schema.type, more: { [field]: 1 } })
    let isOver = false
    this.#over = sleep(ms).then(() => {
      this.#proxy.pass()
      isOver = true
    })
    while (!isOver && this.#proxy.denied === before) await sleep(POLL_MS)
    return this.#proxy.denied > before
  }
}
