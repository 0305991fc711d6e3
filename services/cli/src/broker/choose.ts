import { connectionFromEnvironment } from '@sallyport/core/connection'
import { SallyportError } from '@sallyport/core/errors'
import { dockerAvailability } from './docker.ts'
import { jvmAvailability } from './jvm.ts'
import type { Availability, BrokerRequest, RunningBroker, WayName } from './way.ts'
import { WAY_NAMES } from './way.ts'

/** How each way is opened, for the error that names them all. */
const THREE_WAYS =
  'set KAFKA_BROKERS and SCHEMA_REGISTRY_URL to a cluster of yours, or start Docker, or install Java 17 and Maven'

/**
 * Brings a broker up by the first way that can be gone: the environment's, Docker, a local JVM; or by `only`, when
 * the user names one. A way that turns out not to work is said and passed over, but never when its data is
 * damaged, a port is taken or the disk is full: the next way would meet the same. Throws `SP_BROKER_MISSING` when
 * none is left.
 */
export async function startBroker(request: BrokerRequest, only?: WayName): Promise<RunningBroker> {
  const reasons: string[] = []
  for (const way of only === undefined ? WAY_NAMES : [only]) {
    const availability = await availabilityOf(way, request)
    if (!availability.usable) {
      reasons.push(availability.reason)
      if (way !== 'environment') request.steps.say(`${availability.reason}: going on without ${nameOf(way)}`)
      continue
    }
    try {
      return await availability.start(request)
    } catch (error) {
      if (!isPassedOver(error) || only !== undefined || way === 'jvm') throw error
      reasons.push((error as Error).message)
      request.steps.say(`${(error as Error).message}: going on without ${nameOf(way)}`)
    }
  }
  throw new SallyportError(
    'SP_BROKER_MISSING',
    `no broker can be reached (${reasons.join('; ')}): ${THREE_WAYS}`,
  )
}

async function availabilityOf(way: WayName, request: BrokerRequest): Promise<Availability> {
  if (way === 'environment') return environmentAvailability(request.env)
  if (way === 'docker') return await dockerAvailability(request)
  return await jvmAvailability(request.env, request.cacheFolder)
}

/** A cluster that is already there: it is neither started nor stopped by us. Half of it is an error. */
function environmentAvailability(env: NodeJS.ProcessEnv): Availability {
  if (!env.KAFKA_BROKERS && !env.SCHEMA_REGISTRY_URL) {
    return { usable: false, reason: 'KAFKA_BROKERS and SCHEMA_REGISTRY_URL are not set' }
  }
  const connection = connectionFromEnvironment(env)
  return {
    usable: true,
    start: async () => ({
      way: 'environment',
      description: 'KAFKA_BROKERS and SCHEMA_REGISTRY_URL of the environment',
      connection,
      failed: new Promise<never>(() => {}),
      stop: async () => {},
    }),
  }
}

function isPassedOver(error: unknown): boolean {
  return error instanceof SallyportError && error.code === 'SP_BROKER_FAILED'
}

function nameOf(way: WayName): string {
  return { environment: 'the environment', docker: 'Docker', jvm: 'a local JVM' }[way]
}
