/**
 * A broker, or the registry, that goes away in the middle of each command: the real binary on the real ones, through
 * connections that are cut at a request that the command makes when it is half-way. Many commands run at once, for what
 * takes time is that they keep trying for a while.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { writeDevFile } from 'sallyport/start/dev-file'
import { PROJECT_FOLDER } from 'sallyport/start/home'
import { Cli, type Ended, jsonLines } from '../support/cli.ts'
import { appendDeadLetters } from '../support/dead-letters.ts'
import { API, goingBroker, goingRegistry } from '../support/going-away.ts'
import { type TestIngress, testIngress } from '../support/ingress.ts'
import { Operator } from '../support/operator.ts'
import { PARTITIONS } from '../support/processor.ts'
import { settingsFileFor } from '../support/settings-file.ts'

const LETTERS = 20
/** So many commands at once leave each its time to start on a slow machine. */
const LANES = 6

interface Run {
  readonly ended: Ended
  /** Whether the request came at which everything was cut. */
  readonly wasCut: boolean
}

interface Case {
  readonly args: () => string[]
  /** The request at which the broker goes away, and which one of them; or the registry, at which request. */
  readonly broker?: readonly [api: number, nth?: number]
  readonly registry?: number
  /** Prints a JSON object a line, not one document. */
  readonly streams?: boolean
  /** 1 where nothing else is said. */
  readonly code?: number
  /** What holds afterwards, when the broker is back. */
  readonly afterwards?: (ended: Ended) => Promise<void>
}

describe('what goes away in the middle of a command', function () {
  // Each command is a process that keeps trying for a while, and a busy machine takes its time.
  this.timeout(300_000)
  // Inside the project, where a module finds its packages.
  const folder = path.join(PROJECT_FOLDER, `.sallyport/gone-${process.pid}`)
  const config = path.join(folder, 'sallyport.yaml')
  const runs = new Map<string, Promise<Run>>()
  let redriving: Operator
  let discarding: Operator
  let replaying: Operator
  let idle: Operator
  let ingress: TestIngress
  let letter: string
  let event: string

  const CASES: Readonly<Record<string, Case>> = {
    lag: { args: () => ['lag', idle.processor.config.name], broker: [API.offsetFetch] },
    'events list': { args: () => ['events', 'list'], broker: [API.fetch] },
    'events show': { args: () => ['events', 'show', event], broker: [API.fetch] },
    tail: { args: () => ['tail'], broker: [API.fetch], streams: true },
    listen: {
      args: () => ['listen', 'crm', '--to', 'http://127.0.0.1:9'],
      broker: [API.fetch],
      streams: true,
    },
    send: {
      args: () => ['send', ingress.source, '--config', path.join(ingress.folder, 'sallyport.yaml')],
      broker: [API.fetch],
      streams: true,
    },
    'dlq list': { args: () => idle.args('list'), broker: [API.fetch, 2], streams: true },
    'dlq show': { args: () => [...idle.args('show'), letter], broker: [API.fetch, 2] },
    'dlq redrive': {
      args: () => [...redriving.args('redrive'), '--yes'],
      // The operation stands in the audit, somebody has taken it up, and its first letters are on their way.
      broker: [API.produce, 3],
      async afterwards({ stderr }) {
        assert.match(stderr, new RegExp(`operation \\d+ stays open, 0 of ${LETTERS} done`))
        const again = await redriving.dlq('redrive', '--yes')
        assert.equal(again.code, 0, again.stderr)
        assert.equal((await redriving.own('redrive')).length, LETTERS)
      },
    },
    'dlq discard': {
      args: () => [...discarding.args('discard'), '--yes'],
      broker: [API.produce],
      async afterwards() {
        assert.equal(await discarding.auditRecords(), 0)
        assert.equal((await discarding.listed()).length, LETTERS)
      },
    },
    replay: {
      args: () => replay(),
      broker: [API.produce, 2],
      async afterwards() {
        const again = await replaying.cli.run(replay())
        assert.equal(again.code, 0, again.stderr)
        assert.equal((await replaying.own('redrive')).length, LETTERS)
      },
    },
    pause: {
      args: () => ['pause', idle.processor.config.name],
      broker: [API.produce],
      async afterwards() {
        assert.equal(await idle.auditRecords(), 0)
      },
    },
    resume: { args: () => ['resume', idle.processor.config.name], broker: [API.listOffsets] },
    'topics plan': { args: () => ['topics', 'plan', '--config', config], broker: [API.describeConfigs] },
    'topics apply': {
      args: () => ['topics', 'apply', '--config', config],
      broker: [API.createTopics],
      async afterwards() {
        assert.equal((await idle.cli.run(['topics', 'apply', '--config', config])).code, 0)
        assert.deepEqual(await idle.cli.json(['topics', 'plan', '--config', config]), [])
      },
    },
    'topics grow': {
      args: () => ['topics', 'grow', '--config', settingsFileFor(idle.processor, 2 * PARTITIONS), '--yes'],
      broker: [API.listOffsets],
    },
    doctor: {
      args: () => ['doctor', '--config', config],
      broker: [API.listOffsets],
      code: 4,
      async afterwards({ stdout }) {
        const findings = JSON.parse(stdout) as { about: string; code?: string }[]
        assert.equal(findings.find(({ about }) => about === 'operations')?.code, 'SP_BROKER_UNREACHABLE')
      },
    },
    'schemas check': { args: () => ['schemas', 'check', '--config', config], registry: 1 },
    'schemas register': {
      args: () => ['schemas', 'register', '--config', config],
      registry: 2,
      async afterwards() {
        assert.equal((await idle.cli.run(['schemas', 'register', '--config', config])).code, 0)
      },
    },
    'dlq show, without the registry': { args: () => [...idle.args('show'), letter], registry: 1 },
    'events list, without the registry': { args: () => ['events', 'list'], registry: 1 },
  }

  before(async () => {
    ;[redriving, discarding, replaying, idle] = (await Promise.all(
      Array.from({ length: 4 }, () => Operator.withTopics()),
    )) as [Operator, Operator, Operator, Operator]
    const lettersOf = ({ topics, processor }: Operator) =>
      appendDeadLetters(topics, processor.config.name, processor.source, LETTERS)
    const [[first], [accepted]] = (await Promise.all([
      lettersOf(idle),
      replaying.append(LETTERS),
      lettersOf(redriving),
      lettersOf(discarding),
    ])) as unknown as [[string], [string]]
    letter = first
    event = accepted
    writeSettings()
    ingress = await testIngress(idle.cluster)
    await ingress.ready
    writeFollowed()
    const lanes = Array.from({ length: LANES }, () => Promise.resolve<unknown>(undefined))
    for (const [i, [name, one]] of Object.entries(CASES).entries()) {
      const run = (lanes[i % LANES] as Promise<unknown>).then(() => runCase(one))
      runs.set(name, run)
      lanes[i % LANES] = run.catch(() => {})
    }
  })
  after(async () => {
    await ingress.stop()
    await Promise.all([redriving, discarding, replaying, idle].map(operator => operator.leave()))
    rmSync(folder, { recursive: true, force: true })
  })

  for (const [name, one] of Object.entries(CASES)) {
    const what = one.registry === undefined ? 'broker' : 'registry'
    it(`ends ${name} with advice: the ${what} (J4)`, async () => {
      const { ended, wasCut } = await (runs.get(name) as Promise<Run>)
      const { code, stdout, stderr } = ended
      assert.ok(wasCut, `it never came to that request: ${stdout}${stderr}`)
      assert.equal(code, one.code ?? 1, stderr)
      // Whole JSON, or nothing.
      if (one.streams) jsonLines(stdout)
      else if (stdout !== '') JSON.parse(stdout)
      if (code === 1) {
        const codes = what === 'broker' ? 'BROKER_UNREACHABLE|TRANSACTION' : 'REGISTRY_UNREACHABLE'
        assert.match(stderr, new RegExp(`(^|\\n)SP_(${codes}): .*(check|run) .*\\n$`))
      }
      await one.afterwards?.(ended)
    })
  }

  it('is waited for by sallyport index, which says so and stops when it is asked to', async () => {
    const going = await goingBroker(idle.cluster.brokers[0] as string, API.fetch)
    const cli = new Cli({ brokers: [going.address], registryUrl: idle.cluster.registryUrl })
    const running = cli.start(['index'])
    await running.prints(/waiting to follow the topics[\s\S]*waiting to follow the topics/)
    assert.ok(going.isGone())
    running.child.kill('SIGTERM')
    const { code, stderr } = await running.ended
    assert.equal(code, 0, stderr)
  })

  async function runCase({ args, broker, registry }: Case): Promise<Run> {
    const { brokers, registryUrl } = idle.cluster
    const going =
      broker === undefined
        ? await goingRegistry(registryUrl, registry as number)
        : await goingBroker(brokers[0] as string, broker[0], broker[1])
    const cli =
      broker === undefined
        ? new Cli({ brokers, registryUrl: registryUrl.replace(new URL(registryUrl).host, going.address) })
        : new Cli({ brokers: [going.address], registryUrl })
    const home = cli.env.SALLYPORT_HOME as string
    writeDevFile(home, {
      ingress: ingress.url,
      brokers: [going.address],
      registry: registryUrl,
      pid: process.pid,
    })
    const ended = await cli.run([...args(), '--json'], { env: { GONE_SECRET: 'secret' } })
    going.close()
    return { ended, wasCut: going.isGone() }
  }

  function replay(): string[] {
    const { config, source } = replaying.processor
    const file = settingsFileFor(replaying.processor)
    const named = ['replay', '--processor', config.name, '--config', file, '--source', source]
    return [...named, '--from', '2026-01-01', '--yes']
  }

  /** Settings whose processor has topics and schemas that do not exist yet. */
  function writeSettings(): void {
    const name = `gone-${randomBytes(4).toString('hex')}`
    mkdirSync(folder, { recursive: true })
    writeFileSync(
      path.join(folder, 'agent.ts'),
      `import { defineProcessor } from '@sallyport/processor'
export default defineProcessor({ name: '${name}', outputs: { 'sallyport.${name}.out': 'agent-event.v1' }, handler() {} })
`,
    )
    writeFileSync(
      config,
      `topics: { partitions: ${PARTITIONS} }
window: 3d
sources: { shop: { preset: github, secrets: ['\${env:GONE_SECRET}'] } }
processors: [./agent.ts]
`,
    )
  }

  /** The ingress's settings name a processor, whose topics `send` follows. */
  function writeFollowed(): void {
    const { name } = idle.processor.config
    const fields = { name, version: '1', sources: [ingress.source], retry: [], timeout: '1s' }
    const text = JSON.stringify({ ...fields, concurrency: 1, outputs: {} }).slice(1, -1)
    writeFileSync(path.join(ingress.folder, 'agent.mjs'), `export default { ${text}, handler() {} }\n`)
    writeFileSync(
      path.join(ingress.folder, 'sallyport.yaml'),
      `window: 3d
sources: { ${ingress.source}: { scheme: { header: X-Webhook-Signature, algorithm: hmac-sha256, encoding: hex }, secrets: ['\${file:${ingress.folder}/secret}'], timestamp: '$.timestamp', required: ['$.agent_id', '$.status'], type: '$.status' } }
processors: [./agent.mjs]
`,
    )
  }
})
