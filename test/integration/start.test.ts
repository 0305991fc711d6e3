import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createKafka } from '@sallyport/core/kafka/client'
import { createLog } from '@sallyport/core/log'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import { sampleUpdates } from 'sallyport/samples'
import { type DevFile, devFilePath } from 'sallyport/start/dev-file'
import { Started, survivors } from '../support/started.ts'

/** A whole start on a machine that is busy with other tests. */
const START_MS = 120_000

/** How many records the main topic has taken so far; a broker that has just come back may need a moment. */
async function eventCount(dev: DevFile): Promise<number> {
  const log = createLog('test')
  log.level = 'silent'
  const admin = createKafka({ brokers: dev.brokers, registryUrl: dev.registry }, 'test', log).admin()
  await admin.connect()
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        const offsets = await admin.fetchTopicOffsets(EVENTS_TOPIC)
        return offsets.reduce((sum, { high }) => sum + Number(high), 0)
      } catch (error) {
        if (attempt === 30) throw error
        await sleep(500)
      }
    }
  } finally {
    await admin.disconnect()
  }
}

async function schemaOf(dev: DevFile, id: number): Promise<unknown> {
  const response = await fetch(`${dev.registry}/schemas/ids/${id}`)
  assert.equal(response.status, 200)
  return await response.json()
}

async function post(dev: DevFile, secret: string): Promise<Response> {
  const body = JSON.stringify(sampleUpdates()[0])
  return await fetch(`${dev.ingress}/webhooks/crm`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'x-webhook-signature': createHmac('sha256', secret).update(body).digest('hex'),
    },
    body,
  })
}

describe('npm start on the local JVM', () => {
  const home = mkdtempSync(join(tmpdir(), 'sallyport-start-'))
  let started: Started
  let dev: DevFile
  let eventsBefore: number
  let schemaBefore: unknown

  after(async function () {
    this.timeout(30_000)
    const family = started?.family() ?? []
    started?.child.kill('SIGKILL')
    await survivors(family, 10_000)
    rmSync(home, { recursive: true, force: true })
  })

  it('brings everything up, says where it is, and names what to try next', async function () {
    this.timeout(START_MS)
    started = new Started(home)
    dev = await started.ready()
    assert.deepEqual(Object.keys(dev), ['ingress', 'brokers', 'registry', 'pid'])
    assert.match(dev.registry, /\/apis\/ccompat\/v7$/)
    assert.match(started.output, /npx sallyport send crm/)
    schemaBefore = await schemaOf(dev, 1)
  })

  it('makes a secret for the CRM, says where, and takes what is signed with it', async () => {
    const file = join(home, 'crm-webhook-secret')
    assert.match(started.output, new RegExp(file))
    assert.equal(statSync(file).mode & 0o777, 0o600)
    for (const folder of [home, join(home, 'kafka')]) assert.equal(statSync(folder).mode & 0o777, 0o700)
    const secret = readFileSync(file, 'utf8').trim()
    assert.equal((await post(dev, secret)).status, 200)
    assert.equal((await post(dev, `${secret}x`)).status, 401)
    eventsBefore = await eventCount(dev)
    assert.equal(eventsBefore, 1)
  })

  it('refuses a second start in the same folder in one sentence', async function () {
    this.timeout(START_MS)
    const second = new Started(home)
    assert.equal(await second.exited, 1)
    const lines = second.output.trim().split('\n')
    assert.equal(lines.length, 1)
    assert.match(lines[0] as string, new RegExp(`SP_ALREADY_RUNNING: .*process ${started.child.pid}\\)`))
    assert.equal(existsSync(devFilePath(home)), true)
  })

  it('leaves no process behind when it is killed (L3)', async function () {
    this.timeout(20_000)
    const family = started.family()
    assert.ok(family.length >= 5, 'itself, two JVMs and their guards')
    started.child.kill('SIGKILL')
    assert.equal(await started.exited, 'SIGKILL')
    assert.deepEqual(await survivors(family, 3_000), [])
  })

  it('takes over after a kill with every event and schema, and keeps a trickle going with --demo', async function () {
    this.timeout(START_MS)
    started = new Started(home, ['--demo', '--demo-interval', '100ms'])
    dev = await started.ready()
    assert.deepEqual(await schemaOf(dev, 1), schemaBefore)
    assert.ok((await eventCount(dev)) >= eventsBefore)
    let count = await eventCount(dev)
    for (let i = 0; i < 100 && count < eventsBefore + 5; i++) {
      await sleep(100)
      count = await eventCount(dev)
    }
    assert.ok(count >= eventsBefore + 5, `${count} events after ${eventsBefore}`)
    assert.match(started.output, /demo: \d+ updates accepted/)
  })

  it('brings a broker back that somebody kills', async function () {
    this.timeout(START_MS)
    const before = await eventCount(dev)
    const [broker] = started.family().slice(1) as [number]
    process.kill(broker, 'SIGKILL')
    for (let i = 0; i < 600 && !/ is back/.test(started.output); i++) await sleep(100)
    assert.match(started.output, /ended unasked \(SIGKILL\); starting it again/)
    assert.ok((await eventCount(dev)) >= before)
  })

  it('brings the ingress and a processor back that somebody kills; neither takes another one along', async function () {
    this.timeout(START_MS)
    const secret = readFileSync(join(home, 'crm-webhook-secret'), 'utf8').trim()
    const processor = started.running('processor ticket-agent')
    const ingress = started.running('ingress')
    process.kill(processor, 'SIGKILL')
    for (let i = 0; i < 600 && !/processor ticket-agent is back/.test(started.output); i++) await sleep(100)
    assert.equal(started.running('ingress'), ingress)
    assert.notEqual(started.running('processor ticket-agent'), processor)
    process.kill(ingress, 'SIGKILL')
    for (let i = 0; i < 600 && !/the ingress is back/.test(started.output); i++) await sleep(100)
    assert.equal((await post(dev, secret)).status, 200)
  })

  it('drains in order at SIGTERM, ends with 0 and leaves no process and no dev.json (L1, L2)', async function () {
    this.timeout(60_000)
    const family = started.family()
    started.child.kill('SIGTERM')
    // The terminal, npm and the launcher may all pass one Ctrl-C on: it counts once.
    started.child.kill('SIGINT')
    assert.equal(await started.exited, 0)
    const ends = started.output.split('\n').filter(line => /^✔ (draining|stopping)|^stopped$/.test(line))
    assert.deepEqual(
      ends.map(line => line.replace(/^✔ /, '').replace(/: .*/, '')),
      [
        'draining the ingress',
        'draining the processor',
        'stopping the schema registry and the broker',
        'stopped',
      ],
    )
    assert.deepEqual(await survivors(family, 2_000), [])
    assert.equal(existsSync(devFilePath(home)), false)
  })

  it('ends in order when it is stopped in the middle of its start', async function () {
    this.timeout(START_MS)
    const early = new Started(home)
    while (!early.output.includes('starting the Kafka broker')) await sleep(20)
    await sleep(500)
    const family = early.family()
    early.child.kill('SIGINT')
    assert.equal(await early.exited, 0)
    assert.deepEqual(await survivors(family, 2_000), [])
  })

  it('names the port that is taken, and starts nothing', async function () {
    this.timeout(START_MS)
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const refused = new Started(home, ['--port', String(port)])
    assert.equal(await refused.exited, 1)
    server.close()
    assert.match(refused.output.trim(), new RegExp(`^SP_PORT_TAKEN: port ${port} of the ingress .*--port.*$`))
  })

  it('says that the disk is too full, and starts nothing', async function () {
    this.timeout(START_MS)
    const refused = new Started(home, ['--disk-free-min', '1000000000'])
    assert.equal(await refused.exited, 1)
    assert.match(refused.output.trim(), /^SP_DISK_FULL: \d+ MiB are free .*$/)
  })

  it('says that its data is damaged, and what to do', async function () {
    this.timeout(START_MS)
    const metadata = join(home, 'kafka', '__cluster_metadata-0')
    for (const [file, garbage] of [
      [join(home, 'kafka', 'meta.properties'), 'garbage'],
      [join(metadata, 'quorum-state'), 'garbage'],
      [join(metadata, '00000000000000000000.log'), 'A'.repeat(5_000)],
    ] as const) {
      const good = readFileSync(file)
      writeFileSync(file, garbage)
      const refused = new Started(home)
      assert.equal(await refused.exited, 1, refused.output)
      writeFileSync(file, good)
      const last = refused.output.trim().split('\n').at(-1) as string
      assert.match(last, /^SP_DATA_CORRUPT: the broker cannot use its data: .* move .*kafka away/)
    }
  })
})
