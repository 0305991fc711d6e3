import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { CRM, send, signed, ticket } from '../support/ingress.ts'
import { PARTITIONS } from '../support/processor.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

const CLI = fileURLToPath(new URL('../../services/cli/src/main.ts', import.meta.url))

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

describe('sallyport ingress --workers', function () {
  this.timeout(60_000)
  let folder: string
  let child: ChildProcess
  let log: string
  let door: string
  let admin: string

  before(async () => {
    const connection = await sharedCluster()
    folder = mkdtempSync(path.join(tmpdir(), 'sallyport-workers-'))
    const [port, adminPort] = [await freePort(), await freePort()]
    writeFileSync(`${folder}/secret`, 'a secret of some length')
    writeFileSync(
      `${folder}/sallyport.yaml`,
      `topics: { partitions: ${PARTITIONS} }\ningress: { port: ${port}, adminPort: ${adminPort} }\n${CRM}`
        .replaceAll('SOURCE', 'crm')
        .replaceAll('FOLDER', folder),
    )
    const args = ['--no-warnings', CLI, 'ingress', '--workers', '2', '--config', `${folder}/sallyport.yaml`]
    const env = {
      ...process.env,
      LOG_LEVEL: 'info',
      KAFKA_BROKERS: connection.brokers.join(','),
      SCHEMA_REGISTRY_URL: connection.registryUrl,
    }
    child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] })
    log = ''
    child.stdout?.on('data', chunk => {
      log += chunk
    })
    door = `http://127.0.0.1:${port}/webhooks/crm`
    admin = `http://127.0.0.1:${adminPort}/metrics`
    await until(() => pids('"state":"ready"').size === 2)
  })
  after(() => {
    child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  })

  /** Processes that logged a line with this text. */
  function pids(text: string): Set<number> {
    const lines = log.split('\n').filter(line => line.includes(text))
    return new Set(lines.map(line => JSON.parse(line).pid))
  }

  async function until(met: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = Date.now() + 20_000
    while (!(await met())) {
      assert.ok(Date.now() < deadline, log)
      await sleep(50)
    }
  }

  async function delivered(secret = 'a secret of some length'): Promise<number> {
    const body = ticket()
    return (await send(door, { body, headers: signed(body, secret) })).status
  }

  it('workers share the port, and the metrics of all are one (S6)', async () => {
    for (let i = 0; i < 20; i++) assert.equal(await delivered(), 200)
    const { text } = await send(admin, { method: 'GET' })
    assert.match(text, /deliveries_total\{source="crm",status="200",code="accepted"\} 20\n/)
  })

  it('SIGHUP reaches every worker (S8)', async () => {
    writeFileSync(`${folder}/secret`, 'another secret of some length')
    child.kill('SIGHUP')
    await until(() => pids('are reloaded').size === 2)
    for (let i = 0; i < 10; i++) assert.equal(await delivered('another secret of some length'), 200)
    assert.equal(await delivered(), 401)
  })

  it('a worker that is killed is replaced, and the others go on (S7)', async () => {
    const [victim] = pids('"state":"ready"')
    process.kill(victim as number, 'SIGKILL')
    await until(() => pids('"state":"ready"').size === 3)
    assert.equal(await delivered('another secret of some length'), 200)
  })

  it('SIGTERM drains all of them and ends with 0', async () => {
    child.kill('SIGTERM')
    const [code] = await once(child, 'exit')
    assert.equal(code, 0)
    assert.equal(pids('"state":"draining"').size, 2)
    await assert.rejects(delivered(), /ECONNREFUSED/)
  })
})
