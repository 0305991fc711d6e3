import assert from 'node:assert/strict'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SallyportError } from '@sallyport/core/errors'
import { startBroker } from 'sallyport/broker/choose'
import type { BrokerRequest, WayName } from 'sallyport/broker/way'
import { scratchFolder } from './folder.ts'

/** A PATH on which only these programs are, each a shell script. */
function programs(scripts: Record<string, string>): string {
  const folder = scratchFolder()
  for (const [name, script] of Object.entries(scripts)) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`)
    chmodSync(join(folder, name), 0o755)
  }
  return folder
}

interface Tried {
  readonly said: readonly string[]
  readonly way?: WayName
  readonly error?: SallyportError
}

async function choose(
  env: NodeJS.ProcessEnv,
  options: { home?: string; only?: WayName } = {},
): Promise<Tried> {
  const said: string[] = []
  const home = options.home ?? scratchFolder()
  const request: BrokerRequest = {
    home,
    cacheFolder: join(home, 'jvm'),
    brokerPort: { port: 0, named: true },
    registryPort: { port: 0, named: true },
    readyTimeoutMs: 1_000,
    env,
    steps: { step: (_title, run) => run(), say: line => said.push(line) },
    signal: new AbortController().signal,
  }
  try {
    return { said, way: (await startBroker(request, options.only)).way }
  } catch (error) {
    assert.ok(error instanceof SallyportError, String(error))
    return { said, error }
  }
}

const JAVA_11 = 'echo \'openjdk version "11.0.2" 2019-01-15\' >&2'
const JAVA_17 = 'echo \'openjdk version "17.0.15" 2025-04-15\' >&2'
const NO_IMAGE = `echo "$@" >>"$(dirname "$0")/calls"
case "$1" in
  info) echo 'Debian GNU/Linux 12 (bookworm)|[name=seccomp]|28.2.2';;
  context) echo unix:///var/run/docker.sock;;
  *) echo 'no such image' >&2; exit 1;;
esac`

describe('the way to a broker', () => {
  it('is the environment where it names a cluster, whatever else is here', async () => {
    const { way, said } = await choose({
      PATH: programs({ docker: 'exit 0', java: JAVA_17 }),
      KAFKA_BROKERS: 'kafka:9092',
      SCHEMA_REGISTRY_URL: 'http://registry:8081',
    })
    assert.equal(way, 'environment')
    assert.deepEqual(said, [])
  })

  it('is an error where the environment names half a cluster', async () => {
    const path = programs({})
    const noRegistry = await choose({ PATH: path, KAFKA_BROKERS: 'kafka:9092' })
    assert.equal(noRegistry.error?.code, 'SP_SETTINGS')
    assert.match(noRegistry.error?.message ?? '', /SCHEMA_REGISTRY_URL/)
    const noBrokers = await choose({ PATH: path, SCHEMA_REGISTRY_URL: 'http://registry:8081' })
    assert.equal(noBrokers.error?.code, 'SP_SETTINGS')
    assert.match(noBrokers.error?.message ?? '', /KAFKA_BROKERS/)
  })

  it('is missing where nothing is here, and the error names the three', async () => {
    const { error } = await choose({ PATH: programs({}) })
    assert.equal(error?.code, 'SP_BROKER_MISSING')
    for (const way of [/KAFKA_BROKERS/, /start Docker/, /install Java 17 and Maven/]) {
      assert.match(error?.message ?? '', way)
    }
  })

  it('passes over a Docker that does not answer within 3 s', async () => {
    const startedAt = performance.now()
    const { error, said } = await choose({ PATH: programs({ docker: 'exec /bin/sleep 45' }) })
    assert.ok(performance.now() - startedAt < 30_000)
    assert.match(said.join('\n'), /Docker does not answer within 3 s/)
    assert.equal(error?.code, 'SP_BROKER_MISSING')
  })

  it('passes over a Docker whose engine is another machine', async () => {
    const docker = NO_IMAGE.replace('unix:///var/run/docker.sock', 'ssh://somebody@elsewhere')
    const { said } = await choose({ PATH: programs({ docker, dirname: 'exec /usr/bin/dirname "$@"' }) })
    assert.match(said.join('\n'), /another machine \(ssh:/)
  })

  it('passes over Docker where an image is neither local nor pulled, says so, and is quick the next time', async () => {
    const home = scratchFolder()
    const path = programs({ docker: NO_IMAGE, dirname: 'exec /usr/bin/dirname "$@"' })
    const env = { PATH: path, SALLYPORT_KAFKA_IMAGE: 'example/kafka:1' }
    const pulls = () =>
      readFileSync(join(path, 'calls'), 'utf8')
        .split('\n')
        .filter(call => call.startsWith('pull'))
    const first = await choose(env, { home })
    assert.match(first.said.join('\n'), /example\/kafka:1 is not here and cannot be pulled \(no such image\)/)
    assert.deepEqual(pulls().sort(), ['pull -q apicurio/apicurio-registry:3.0.9', 'pull -q example/kafka:1'])
    const second = await choose(env, { home })
    assert.match(second.said.join('\n'), /could not be pulled a while ago/)
    assert.equal(pulls().length, 2)
  })

  it('passes over a Java that is too old, and a Java without Maven while nothing is fetched', async () => {
    const old = await choose({ PATH: programs({ java: JAVA_11 }) })
    assert.match(old.error?.message ?? '', /Java 11, and 17 or newer is needed/)
    const alone = await choose({ PATH: programs({ java: JAVA_17 }) })
    assert.match(alone.error?.message ?? '', /no mvn in PATH/)
  })

  it('is the one that the user names, or none', async () => {
    const { error, said } = await choose({ PATH: programs({ java: JAVA_11 }) }, { only: 'docker' })
    assert.equal(error?.code, 'SP_BROKER_MISSING')
    assert.match(error?.message ?? '', /no docker in PATH/)
    assert.doesNotMatch(said.join('\n'), /Java/)
  })

  it('tells why Maven failed, in its own words', async () => {
    const path = programs({ java: JAVA_17, mvn: 'echo "[ERROR] Could not resolve kafka_2.13"; exit 1' })
    const { error } = await choose({ PATH: path })
    assert.equal(error?.code, 'SP_BROKER_MISSING')
    assert.match(error?.message ?? '', /Could not resolve kafka_2.13.*settings\.xml/)
  })
})
