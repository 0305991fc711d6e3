/** The stages of the ingress behind its own listener, without Kafka: what they would publish is kept in a list. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import type { PublishRecord } from '@sallyport/core/kafka/publisher'
import { loadSettings } from '@sallyport/core/settings'
import type { Door } from '@sallyport/ingress/config'
import type { Learning } from '@sallyport/ingress/learning'
import { createListener, listen } from '@sallyport/ingress/listener'
import type { PublishTarget } from '@sallyport/ingress/publish'
import { Readiness } from '@sallyport/ingress/readiness'
import type { FetchText } from '@sallyport/ingress/schemes/fetch'
import { createHandler } from '@sallyport/ingress/server'
import { compileSource, type SourceSettings } from '@sallyport/ingress/sources'
import { keptLog } from './ingress.ts'
import { NOW_MS } from './signed-request.ts'

export interface TestHandler {
  readonly url: string
  /** Keys of the records that would have been published, in order. */
  readonly keys: readonly string[]
  readonly doors: ReadonlyMap<string, Door>
  /** Lines of the log. */
  readonly lines: readonly string[]
  /** How many connections the listener has. */
  connections(): Promise<number>
  close(): void
}

export interface TestHandlerOptions {
  /** Fetches certificates, and addresses that confirm subscriptions. */
  readonly fetchText?: FetchText
  /** What becomes of a record; by default it is acknowledged. */
  readonly publish?: (record: PublishRecord) => Promise<void>
  /** Settings of the ingress, as a line of YAML's flow style. */
  readonly ingress?: string
  readonly door?: Partial<Door>
  /** Learns the secrets that handshakes offer; by default none. */
  readonly learning?: Pick<Learning, 'known' | 'learn'>
  /** Whether the handler takes itself for one that only this machine can reach. Default true. */
  readonly loopback?: boolean
}

const NOT_LEARNING: Pick<Learning, 'known' | 'learn'> = { known: true, learn: async () => 'closed' }

/** Serves the sources at NOW. */
export async function testHandler(
  sources: Readonly<Record<string, SourceSettings>>,
  {
    fetchText,
    publish = async () => {},
    ingress = '',
    door = {},
    learning = NOT_LEARNING,
    loopback = true,
  }: TestHandlerOptions = {},
): Promise<TestHandler> {
  const keys: string[] = []
  const publisher = {
    partitions: 12,
    publish(record: PublishRecord) {
      keys.push(String(record.key))
      return publish(record)
    },
  }
  const target = { publisher, schemaId: 1, partitions: 12 } as unknown as PublishTarget
  const readiness = new Readiness(() => {})
  readiness.provisioned()
  const { log, lines } = keptLog()
  const doors = new Map(
    Object.entries(sources).map(([name, settings]): [string, Door] => [
      name,
      {
        source: compileSource(name, settings, fetchText === undefined ? {} : { fetchText }),
        keep: [],
        allowFrom: null,
        encoding: 'refuse',
        usable: () => true,
        bucket: null,
        ...door,
      },
    ]),
  )
  const settings = ingressSettings(ingress)
  const handle = createHandler({
    settings,
    loopback,
    doors: () => doors,
    learning,
    target: () => target,
    readiness,
    clock: () => NOW_MS,
    log,
    ...(fetchText === undefined ? {} : { fetchText }),
  })
  const server = createListener(settings, handle)
  const url = await listen(server, '127.0.0.1', 0)
  return {
    url: `${url}/webhooks`,
    keys,
    doors,
    lines,
    connections: () => promisify(server.getConnections.bind(server))(),
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

function ingressSettings(ingress: string) {
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-handler-'))
  try {
    const file = path.join(folder, 'sallyport.yaml')
    writeFileSync(
      file,
      `ingress: { ${ingress} }\nsources: { any: { preset: github, secrets: ['\${env:X}'] } }\n`,
    )
    return loadSettings(file, {}).ingress
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
