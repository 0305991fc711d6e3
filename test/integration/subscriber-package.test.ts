/** The subscriber as other teams get it: packed, installed into an empty project, and run; and a consumer in Python. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { EVENT_SCHEMA, encodeWire } from '@sallyport/core/codec'
import { createRegistry } from '@sallyport/core/kafka/registry'
import type { Cluster } from '../support/cluster.ts'
import { eventOf, Topics, TRACEPARENT } from '../support/events.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { freshTopic } from '../support/topic.ts'

const run = promisify(execFile)
const ROOT = path.resolve(import.meta.dirname, '../..')
const EXAMPLES = path.join(ROOT, 'services/subscriber/examples')

describe('a downstream team', function () {
  this.timeout(300_000)
  let cluster: Cluster
  let topics: Topics
  let topic: string
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-downstream-'))
  const children: ChildProcess[] = []

  before(async () => {
    cluster = await sharedCluster()
    topics = new Topics(cluster, 1)
    topic = await freshTopic(cluster.brokers, 1)
  })
  after(async () => {
    for (const child of children) child.kill('SIGKILL')
    await topics?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  /**
   * Runs a consumer until it has printed two events, one of which is not UTF-8; poison stands between them. SIGTERM
   * must end it well.
   */
  async function consume(cwd: string, command: string, args: readonly string[]): Promise<void> {
    const odd = Buffer.from([0xff, 0x41])
    const events = [{ ...eventOf('crm', 1), body: odd }, eventOf('crm', { n: 2 })]
    const registry = createRegistry(cluster.registryUrl)
    const schemaId = await registry.register('sallyport.events-value', EVENT_SCHEMA)
    const poison = [
      { value: Buffer.from('no wire format'), headers: { ce_id: 'k', odd } },
      { value: encodeWire(schemaId, EVENT_SCHEMA.type, eventOf('crm', 'no headers')), headers: { odd } },
    ]
    await topics.append(events.slice(0, 1), topic)
    await topics.appendRaw(
      topic,
      poison.map(record => ({ partition: 0, key: 'k', ...record })),
    )
    await topics.append(events.slice(1), topic)
    const poisonFile = path.join(cwd, 'poison.jsonl')
    const child = spawn(command, args, {
      cwd,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        ...process.env,
        KAFKA_BROKERS: cluster.brokers.join(','),
        SCHEMA_REGISTRY_URL: cluster.registryUrl,
        GROUP: `test-${randomUUID()}`,
        TOPIC: topic,
        POISON_FILE: poisonFile,
      },
    })
    children.push(child)
    const exit = once(child, 'exit')
    const wanted = events.map(({ id, source, type, body }) => {
      return { id, source, type, body: body.toString(), traceparent: TRACEPARENT }
    })
    const ids = new Set(wanted.map(({ id }) => id))
    const seen: unknown[] = []
    for await (const line of createInterface(child.stdout)) {
      const printed = JSON.parse(line) as { id: string }
      if (ids.has(printed.id)) seen.push(printed)
      if (seen.length === wanted.length) break
    }
    assert.deepEqual(seen, wanted)
    child.kill('SIGTERM')
    assert.deepEqual(await exit, [0, null])
    const kept = readFileSync(poisonFile, 'utf8').trim().split('\n')
    assert.deepEqual(
      kept.slice(-2).map(line => (JSON.parse(line) as { value: string }).value),
      poison.map(({ value }) => value.toString('base64')),
    )
  }

  it('installs the packed subscriber into an empty project, type-checks its consumer and runs it', async () => {
    const { stdout } = await run('npm', ['pack', '--silent', '--pack-destination', folder], {
      cwd: path.join(ROOT, 'services/subscriber'),
    })
    const project = path.join(folder, 'project')
    cpSync(path.join(EXAMPLES, 'typescript'), project, { recursive: true })
    writeFileSync(path.join(project, 'package.json'), '{ "private": true, "type": "module" }')
    const tarball = path.join(folder, stdout.trim())
    await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', tarball], { cwd: project })
    assert.equal(existsSync(path.join(project, 'node_modules/@sallyport/core')), false)
    const installed = path.join(project, 'node_modules/@sallyport/subscriber')
    const links = [...readFileSync(path.join(installed, 'README.md'), 'utf8').matchAll(/\]\(([^)]+)\)/g)]
    assert.ok(links.length > 0)
    for (const [, link = ''] of links) assert.ok(existsSync(path.join(installed, link)), link)
    const flags =
      '--noEmit --strict --exactOptionalPropertyTypes --module nodenext --target es2024 --types node'
    const types = ['--typeRoots', path.join(ROOT, 'node_modules/@types')]
    await run(path.join(ROOT, 'node_modules/.bin/tsc'), [...flags.split(' '), ...types, 'consumer.ts'], {
      cwd: project,
    })
    await consume(project, process.execPath, ['--no-warnings', 'consumer.ts'])
  })

  it('writes a consumer in Python', async function () {
    const python = path.join(folder, 'python')
    try {
      await run('python3', ['-m', 'venv', python])
    } catch (error) {
      if (process.env.CI === 'true') throw error
      this.skip()
    }
    cpSync(path.join(EXAMPLES, 'python'), python, { recursive: true })
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', 'requirements.txt']
    await run('bin/python', pip, { cwd: python })
    await consume(python, path.join(python, 'bin/python'), ['consumer.py'])
  })
})
