import { SallyportError } from './errors.ts'

/** Where Kafka and the schema registry are. */
export interface Connection {
  /** `host:port` of one or more brokers. */
  readonly brokers: readonly string[]
  /** Base URL of a Confluent-compatible registry: `{registryUrl}/schemas/ids/1` answers. */
  readonly registryUrl: string
}

/** The connection from `KAFKA_BROKERS` (comma-separated) and `SCHEMA_REGISTRY_URL`; throws `SP_SETTINGS`. */
export function connectionFromEnvironment(env: NodeJS.ProcessEnv): Connection {
  const brokers = (env.KAFKA_BROKERS ?? '')
    .split(',')
    .map(broker => broker.trim())
    .filter(broker => broker !== '')
  if (brokers.length === 0) {
    throw new SallyportError(
      'SP_SETTINGS',
      'the brokers are unknown: set KAFKA_BROKERS to host:port (several with commas), or run npm start, which brings its own',
    )
  }
  const registryUrl = (env.SCHEMA_REGISTRY_URL ?? '').trim().replace(/\/+$/, '')
  if (!URL.canParse(registryUrl)) {
    throw new SallyportError(
      'SP_SETTINGS',
      'the schema registry is unknown: set SCHEMA_REGISTRY_URL to its base URL, e.g. http://localhost:8081 or …/apis/ccompat/v7',
    )
  }
  return { brokers, registryUrl }
}
