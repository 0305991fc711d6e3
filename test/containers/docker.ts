/** The engine's command line, and the images that the container tests run. */
import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export const ROOT = path.resolve(import.meta.dirname, '../..')

const NODE_IMAGE = process.env.SALLYPORT_NODE_IMAGE || 'node:24-slim'
/** Started as Confluent's image is, which @testcontainers/kafka asks for; Apache's own is not. */
export const KAFKA_IMAGE = orElse(
  process.env.SALLYPORT_KAFKA_IMAGE,
  'confluentinc/cp-kafka:8.0.0',
  /^apache\//,
)
export const REGISTRY_IMAGE = process.env.SALLYPORT_REGISTRY_IMAGE || 'apicurio/apicurio-registry:3.0.9'
const HAPROXY_IMAGE = process.env.SALLYPORT_HAPROXY_IMAGE || 'haproxy:3.2'

const BUILD_TIMEOUT_MS = 170_000
const PULL_TIMEOUT_MS = 20_000
const OUTPUT_BYTES_MAX = 64 * 1_048_576

/** What a command said, and how it ended. */
export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command to its end, whatever that is. */
export async function ended(
  command: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; timeoutMs?: number; cwd?: string } = {},
): Promise<Ended> {
  const { env = process.env, timeoutMs = 60_000, cwd = ROOT } = options
  try {
    const { stdout, stderr } = await run(command, [...args], {
      env,
      cwd,
      timeout: timeoutMs,
      maxBuffer: OUTPUT_BYTES_MAX,
    })
    return { code: 0, stdout, stderr }
  } catch (error) {
    const { code, stdout = '', stderr = '' } = error as { code?: unknown; stdout?: string; stderr?: string }
    return { code: typeof code === 'number' ? code : -1, stdout, stderr: stderr || String(error) }
  }
}

/** What `docker …` printed, without the last newline; throws with its words where it failed. */
export async function docker(args: readonly string[], timeoutMs?: number): Promise<string> {
  const { code, stdout, stderr } = await ended('docker', args, timeoutMs === undefined ? {} : { timeoutMs })
  if (code !== 0)
    throw new Error(`docker ${args.join(' ')} (exit ${code}):\n${stdout}${stderr}`.slice(-4_000))
  return stdout.trimEnd()
}

let product: Promise<string> | undefined

/** The product's image, built once per run; its layers stay cached. */
export function productImage(): Promise<string> {
  product ??= build('sallyport:test', [
    '--network',
    'host',
    '--build-arg',
    `NODE_IMAGE=${NODE_IMAGE}`,
    '-f',
    'deploy/Dockerfile',
    '.',
  ])
  return product
}

let loadBalancer: Promise<{ image: string; built: boolean }> | undefined

/** HAProxy's own image; where it is neither here nor to be had, one with Debian's package. */
export async function loadBalancerImage(): Promise<string> {
  loadBalancer ??= settleLoadBalancer()
  return (await loadBalancer).image
}

async function settleLoadBalancer(): Promise<{ image: string; built: boolean }> {
  const here = await ended('docker', ['image', 'inspect', HAPROXY_IMAGE])
  if (here.code === 0) return { image: HAPROXY_IMAGE, built: false }
  const pulled = await ended('docker', ['pull', '-q', HAPROXY_IMAGE], { timeoutMs: PULL_TIMEOUT_MS })
  if (pulled.code === 0) return { image: HAPROXY_IMAGE, built: false }
  const folder = path.join(import.meta.dirname, 'haproxy')
  const args = ['--network', 'host', '--build-arg', `NODE_IMAGE=${NODE_IMAGE}`, folder]
  return { image: await build('sallyport-test-haproxy', args), built: true }
}

// Of the whole run: several files use the images. What stays is the product's image and the layers it came from.
after(async function () {
  this.timeout(60_000)
  const settled = await loadBalancer?.catch(() => undefined)
  if (settled?.built === true) await docker(['image', 'rm', settled.image])
  await ended('docker', ['image', 'prune', '--force', '--filter', 'label=dev.sallyport.stage=manifests'])
})

/** Builds an image, and removes the one that had its name. */
async function build(name: string, args: readonly string[]): Promise<string> {
  const before = await idOf(name)
  await docker(['build', '--force-rm', '-t', name, ...args], BUILD_TIMEOUT_MS)
  if (before !== undefined && before !== (await idOf(name))) await ended('docker', ['image', 'rm', before])
  return name
}

async function idOf(image: string): Promise<string | undefined> {
  const { code, stdout } = await ended('docker', ['image', 'inspect', '--format', '{{.Id}}', image])
  return code === 0 ? stdout.trim() : undefined
}

function orElse(text: string | undefined, fallback: string, unfit: RegExp): string {
  return text === undefined || text === '' || unfit.test(text) ? fallback : text
}
