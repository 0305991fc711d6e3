import type { Connection } from '@sallyport/core/connection'

/**
 * The ways to a broker, in the order in which they are tried.
 *
 * - `environment`: `KAFKA_BROKERS` and `SCHEMA_REGISTRY_URL`
 * - `docker`: containers of the official images
 * - `jvm`: Apache Kafka and Apicurio Registry as local processes
 */
export const WAY_NAMES = ['environment', 'docker', 'jvm'] as const

export type WayName = (typeof WAY_NAMES)[number]

/** Shows what takes long; see `start/progress.ts`. */
export interface Steps {
  /** Runs a long step under a title. */
  step<T>(title: string, run: () => Promise<T>): Promise<T>
  /** One line of information. */
  say(line: string): void
}

/** What a way needs to bring a broker up. */
export interface BrokerRequest {
  /** Folder of everything that survives a start: `.sallyport`. */
  readonly home: string
  /** Folder where fetched programs are kept; several homes may share it. */
  readonly cacheFolder: string
  /** Wished port of the broker on 127.0.0.1; `named` when the user chose it. */
  readonly brokerPort: { readonly port: number; readonly named: boolean }
  readonly registryPort: { readonly port: number; readonly named: boolean }
  /** How long a broker may take to come up, ms: after a crash it reads its log again. */
  readonly readyTimeoutMs: number
  readonly env: NodeJS.ProcessEnv
  readonly steps: Steps
  /** Aborted when the user wants to stop. */
  readonly signal: AbortSignal
}

/** A broker and a registry that answer. */
export interface RunningBroker {
  readonly way: WayName
  /** For people: `containers of apache/kafka:4.4.0`. */
  readonly description: string
  readonly connection: Connection
  /** Rejects when one of them ended and could not be brought back; never resolves. */
  readonly failed: Promise<never>
  /** Stops the registry, then the broker, and waits. Idempotent. */
  stop(): Promise<void>
}

/** Either a way can be gone, or it says why not. */
export type Availability =
  | { readonly usable: true; start(request: BrokerRequest): Promise<RunningBroker> }
  | { readonly usable: false; readonly reason: string }
