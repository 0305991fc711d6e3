import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** How often a starting broker or registry is asked. */
const PROBE_INTERVAL_MS = 100
/** How long one question may take. */
const PROBE_TIMEOUT_MS = 1_000

/** An ApiVersions request, version 0, correlation id 1, no client id: what every Kafka broker answers first. */
const API_VERSIONS_REQUEST = Buffer.from([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff])

/**
 * Whether a Kafka broker answers here. An open port is not enough: Docker's proxy accepts connections before
 * anything listens behind it.
 */
export function kafkaAnswers(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ port, host })
    const settle = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(PROBE_TIMEOUT_MS, () => settle(false))
    socket.on('connect', () => socket.write(API_VERSIONS_REQUEST))
    socket.on('error', () => settle(false))
    socket.on('close', () => settle(false))
    // Length, then our correlation id.
    socket.once('data', data => settle(data.length >= 8 && data.readInt32BE(4) === 1))
  })
}

/**
 * Whether an Apicurio registry at this origin is ready: its storage has been read back, so that schemas which
 * were registered before are there.
 */
export async function registryAnswers(origin: string): Promise<boolean> {
  try {
    const response = await fetch(`${origin}/health/ready`, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) })
    await response.arrayBuffer()
    return response.ok
  } catch {
    return false
  }
}

/** Asks until the answer is yes. False when `timeoutMs` have passed or `given` up; rejects when the signal aborts. */
export async function untilReady(
  probe: () => Promise<boolean>,
  limits: { timeoutMs: number; givenUp: () => boolean; signal?: AbortSignal | undefined },
): Promise<boolean> {
  const deadline = performance.now() + limits.timeoutMs
  while (performance.now() < deadline && !limits.givenUp()) {
    limits.signal?.throwIfAborted()
    if (await probe()) return true
    await sleep(PROBE_INTERVAL_MS, undefined, limits.signal === undefined ? {} : { signal: limits.signal })
  }
  return false
}
