import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { kafkaAnswers } from 'sallyport/broker/readiness'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { waitFor } from '../support/wait-for.ts'

const SCHEMA = JSON.stringify({ type: 'record', name: 'Kept', fields: [{ name: 'a', type: 'string' }] })

function portOf(address: string): number {
  return Number(address.split(':')[1])
}

async function register(cluster: Cluster, subject: string): Promise<number> {
  const response = await fetch(`${cluster.registryUrl}/subjects/${subject}/versions`, {
    method: 'POST',
    headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
    body: JSON.stringify({ schema: SCHEMA }),
  })
  assert.equal(response.status, 200)
  return ((await response.json()) as { id: number }).id
}

describe('a cluster for tests', () => {
  let cluster: Cluster

  before(async function () {
    this.timeout(120_000)
    cluster = await startCluster({ brokers: 3 })
  })

  after(async function () {
    this.timeout(60_000)
    await cluster?.stop()
  })

  it('has three brokers that answer', async () => {
    assert.equal(cluster.brokers.length, 3)
    for (const broker of cluster.brokers) assert.equal(await kafkaAnswers(portOf(broker)), true)
  })

  it('keeps its schemas when the registry and one broker go and come back', async function () {
    this.timeout(120_000)
    const id = await register(cluster, 'kept-value')
    await cluster.kill(2)
    assert.equal(await kafkaAnswers(portOf(cluster.brokers[2] as string)), false)
    await cluster.stopRegistry()
    await assert.rejects(fetch(`${cluster.registryUrl}/schemas/ids/${id}`))
    await cluster.startRegistry()
    const response = await fetch(`${cluster.registryUrl}/schemas/ids/${id}`)
    assert.deepEqual(await response.json(), { schema: SCHEMA, schemaType: 'AVRO', references: [] })
    await cluster.restart(2)
    assert.equal(await kafkaAnswers(portOf(cluster.brokers[2] as string)), true)
  })

  it('freezes a broker without closing its port, and thaws it', async function () {
    this.timeout(60_000)
    const port = portOf(cluster.brokers[1] as string)
    // A busy machine may need a moment to freeze a process, and to thaw it.
    cluster.pause(1)
    await waitFor(async () => !(await kafkaAnswers(port)))
    cluster.resume(1)
    await waitFor(() => kafkaAnswers(port))
  })
})

describe('a process that started a cluster', () => {
  it('takes it along when it is killed', async function () {
    this.timeout(120_000)
    const child = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `const { startCluster } = await import(${JSON.stringify(new URL('../support/cluster.ts', import.meta.url))})
         const cluster = await startCluster({ brokers: 1 })
         cluster.pause(0)
         console.log(cluster.brokers[0], cluster.registryUrl)`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    const [output] = (await once(child.stdout, 'data')) as [Buffer]
    const [broker, registryUrl] = output.toString().trim().split(' ') as [string, string]
    assert.equal((await fetch(`${registryUrl}/subjects`)).status, 200)
    child.kill('SIGKILL')
    await once(child, 'exit')
    const refused = async () => {
      try {
        await fetch(`http://${broker}/`, { signal: AbortSignal.timeout(500) })
        return false
      } catch (error) {
        return (error as { cause?: { code?: string } }).cause?.code === 'ECONNREFUSED'
      }
    }
    for (let i = 0; i < 50 && !(await refused()); i++) await sleep(100)
    assert.equal(await refused(), true)
    await assert.rejects(fetch(`${registryUrl}/subjects`))
  })
})
