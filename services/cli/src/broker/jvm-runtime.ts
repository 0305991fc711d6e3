import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { SallyportError } from '@sallyport/core/errors'
import { runToEnd } from './daemon.ts'
import type { KafkaRuntime } from './kafka-server.ts'
import { APICURIO_VERSION } from './registry-server.ts'

/** Apache Kafka's version, the same by every way, so that a data folder passes from one way to another. */
export const KAFKA_VERSION = '4.4.0'
/** The logging backend that Kafka's jars name but do not bring, in the version of their slf4j. */
const SLF4J_SIMPLE_VERSION = '1.7.36'
const JAVA_MAJOR_MIN = 17

/** Everything that the local way runs. */
export interface JvmRuntime extends KafkaRuntime {
  /** Folder of the registry's application. */
  readonly app: string
}

/** The full path of a program in PATH, or undefined. */
export function findProgram(name: string, env: NodeJS.ProcessEnv): string | undefined {
  for (const folder of (env.PATH ?? '').split(delimiter)) {
    const file = join(folder, name)
    if (folder !== '' && existsSync(file)) return file
  }
  return undefined
}

/** Java 17 or newer, from JAVA_HOME or PATH; otherwise why there is none. */
export async function findJava(env: NodeJS.ProcessEnv): Promise<{ java: string } | { missing: string }> {
  const home = env.JAVA_HOME
  const inHome = home === undefined || home === '' ? undefined : join(home, 'bin', 'java')
  const java = inHome !== undefined && existsSync(inHome) ? inHome : findProgram('java', env)
  if (java === undefined) return { missing: 'there is no java in JAVA_HOME or PATH' }
  const { output } = await runToEnd(java, ['-version'], { timeoutMs: 10_000, env })
  const version = /version "(?:1\.)?(\d+)/.exec(output)?.[1]
  if (version === undefined) return { missing: `${java} does not tell its version` }
  if (Number(version) < JAVA_MAJOR_MIN) {
    return { missing: `${java} is Java ${version}, and ${JAVA_MAJOR_MIN} or newer is needed` }
  }
  return { java }
}

/** Where the fetched programs stand in a cache folder; a name per version, so that an upgrade fetches anew. */
export function runtimeFolder(cacheFolder: string): string {
  return join(cacheFolder, `kafka-${KAFKA_VERSION}-apicurio-${APICURIO_VERSION}`)
}

/** Whether nothing has to be fetched. */
export function isFetched(cacheFolder: string): boolean {
  return existsSync(runtimeFolder(cacheFolder))
}

/**
 * Apache Kafka and Apicurio Registry from Maven Central (or the mirror in Maven's settings), fetched once into
 * `cacheFolder`. Safe to run from several processes at once: each fetches aside and renames.
 */
export async function fetchJvmRuntime(
  cacheFolder: string,
  java: string,
  env: NodeJS.ProcessEnv,
  signal?: AbortSignal,
): Promise<JvmRuntime> {
  const folder = runtimeFolder(cacheFolder)
  const runtime = { java, libs: join(folder, 'kafka'), app: join(folder, 'registry') }
  if (existsSync(folder)) return runtime
  const mvn = findProgram('mvn', env)
  if (mvn === undefined) {
    throw new SallyportError(
      'SP_BROKER_MISSING',
      'there is no mvn in PATH to fetch Kafka with: install Maven',
    )
  }
  const partial = `${folder}.partial-${randomBytes(4).toString('hex')}`
  try {
    const parts = { java, libs: join(partial, 'kafka'), app: join(partial, 'registry') }
    mkdirSync(parts.libs, { recursive: true })
    mkdirSync(parts.app, { recursive: true })
    await fetchInto(parts, mvn, partial, env, signal)
    if (!existsSync(folder)) renameSync(partial, folder)
  } catch (error) {
    if (!existsSync(folder)) throw error
  } finally {
    rmSync(partial, { recursive: true, force: true })
  }
  return runtime
}

async function fetchInto(
  parts: JvmRuntime,
  mvn: string,
  folder: string,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal | undefined,
): Promise<void> {
  const pom = join(folder, 'pom.xml')
  writeFileSync(pom, POM)
  const options = { env, ...(signal === undefined ? {} : { signal }) }
  await must(
    mvn,
    ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${parts.libs}`],
    options,
  )
  const artifact = `io.apicurio:apicurio-registry-app:${APICURIO_VERSION}:tar.gz:all`
  await must(
    mvn,
    ['-q', '-B', '-f', pom, 'dependency:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${folder}`],
    options,
  )
  const archive = readdirSync(folder).find(name => name.endsWith('.tar.gz'))
  if (archive === undefined) throw new Error(`Maven did not bring ${artifact}`)
  await must('tar', ['-xzf', join(folder, archive), '-C', parts.app], options)
  rmSync(join(folder, archive))
}

async function must(command: string, args: string[], options: Parameters<typeof runToEnd>[2]): Promise<void> {
  const { code, output } = await runToEnd(command, args, options)
  if (code === 0) return
  const words = output.split('\n').filter(line => /ERROR|error/.test(line))
  throw new SallyportError(
    'SP_BROKER_MISSING',
    `Kafka and the registry could not be fetched: ${words[0] ?? output.trim().slice(-500)}; check the network and Maven's settings.xml`,
  )
}

const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId>
  <artifactId>sallyport-broker</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>${KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>${SLF4J_SIMPLE_VERSION}</version>
    </dependency>
  </dependencies>
</project>
`
