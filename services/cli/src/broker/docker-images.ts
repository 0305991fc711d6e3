import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runToEnd } from './daemon.ts'
import { KAFKA_VERSION } from './jvm-runtime.ts'
import { APICURIO_VERSION } from './registry-server.ts'
import type { BrokerRequest } from './way.ts'

/** How long both images together may take to come. */
const PULL_TIMEOUT_MS = 20_000
/** An image that could not be pulled is not tried again for this long, so that every start is quick. */
const PULL_AGAIN_MS = 24 * 3_600_000

/**
 * Apache's and Apicurio's own images, in the versions that the local JVM way runs: a data folder then passes from
 * one way to the other unchanged.
 */
const DEFAULT_IMAGES = {
  kafka: `apache/kafka:${KAFKA_VERSION}`,
  registry: `apicurio/apicurio-registry:${APICURIO_VERSION}`,
}

/** The images to run, from `SALLYPORT_KAFKA_IMAGE` and `SALLYPORT_REGISTRY_IMAGE` or the defaults. */
export function wantedImages(env: NodeJS.ProcessEnv): { kafka: string; registry: string } {
  return {
    kafka: env.SALLYPORT_KAFKA_IMAGE || DEFAULT_IMAGES.kafka,
    registry: env.SALLYPORT_REGISTRY_IMAGE || DEFAULT_IMAGES.registry,
  }
}

/** Makes sure that both images are local, pulling what is missing; otherwise says why they are not. */
export async function settleImages(
  request: Pick<BrokerRequest, 'home' | 'env' | 'steps' | 'signal'>,
): Promise<{ kafka: string; registry: string } | { missing: string }> {
  const images = wantedImages(request.env)
  const names = [images.kafka, images.registry]
  const present = await Promise.all(names.map(name => isLocal(name, request)))
  const absent = names.filter((_, i) => !present[i])
  if (absent.length === 0) return images
  const failures = new PullFailures(request.home)
  const failedBefore = absent.find(name => failures.isRecent(name))
  if (failedBefore !== undefined) {
    return {
      missing: `the image ${failedBefore} is not here and could not be pulled a while ago (docker pull ${failedBefore} tries again)`,
    }
  }
  const problems: string[] = []
  try {
    await request.steps.step(`pulling ${absent.join(' and ')}`, async () => {
      for (const problem of await Promise.all(absent.map(name => pull(name, request)))) {
        if (problem !== undefined) problems.push(problem)
      }
      if (problems.length > 0) throw new Error(problems.join('; '))
    })
  } catch (error) {
    if (problems.length === 0) throw error
    failures.remember(absent)
    return { missing: problems.join('; ') }
  }
  return images
}

async function isLocal(name: string, request: Pick<BrokerRequest, 'env' | 'signal'>): Promise<boolean> {
  const { code } = await runToEnd('docker', ['image', 'inspect', '--format', '{{.Id}}', name], {
    env: request.env,
    signal: request.signal,
  })
  return code === 0
}

/** Pulls an image; returns why it is not here, or undefined. */
async function pull(
  name: string,
  request: Pick<BrokerRequest, 'env' | 'signal'>,
): Promise<string | undefined> {
  const { code, late, output } = await runToEnd('docker', ['pull', '-q', name], {
    env: request.env,
    signal: request.signal,
    timeoutMs: PULL_TIMEOUT_MS,
  })
  if (code === 0) return undefined
  if (late) return `the image ${name} is not here and was not pulled within ${PULL_TIMEOUT_MS / 1000} s`
  return `the image ${name} is not here and cannot be pulled (${output.trim().split('\n').at(-1)?.slice(0, 150)})`
}

/** Which images could not be pulled, and when. */
class PullFailures {
  readonly #file: string
  readonly #failedAt: Record<string, number>

  constructor(home: string) {
    this.#file = join(home, 'pull-failures.json')
    this.#failedAt = readTimes(this.#file)
  }

  isRecent(image: string): boolean {
    const age = Date.now() - (this.#failedAt[image] ?? 0)
    return age >= 0 && age < PULL_AGAIN_MS
  }

  remember(images: readonly string[]): void {
    for (const image of images) this.#failedAt[image] = Date.now()
    mkdirSync(join(this.#file, '..'), { recursive: true })
    writeFileSync(this.#file, `${JSON.stringify(this.#failedAt)}\n`)
  }
}

function readTimes(file: string): Record<string, number> {
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'))
    return typeof value === 'object' && value !== null ? (value as Record<string, number>) : {}
  } catch {
    return {}
  }
}
