/** What is compared: processes pinned to one core, whose CPU time and memory can be read. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Cluster } from '../../support/cluster.ts'
import { IngressProcess } from '../../support/ingress-process.ts'

const SERVER_CORE = 0

export interface Contestant {
  readonly name: string
  readonly url: string
  cpuSeconds(): number
  rssMib(): number
  stop(): Promise<unknown>
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

/** Ten lines of node:http. */
export async function startBare(name: string): Promise<Contestant> {
  const port = await freePort()
  const file = fileURLToPath(new URL('bare-server.ts', import.meta.url))
  const args = ['-c', String(SERVER_CORE), process.execPath, file, String(port)]
  const child: ChildProcess = spawn('taskset', args, { stdio: 'inherit' })
  const url = `http://127.0.0.1:${port}`
  while (!(await fetch(url).catch(() => undefined))) await sleep(50)
  const proc = (name: string) => readFileSync(`/proc/${child.pid}/${name}`, 'utf8')
  return {
    name,
    url,
    cpuSeconds() {
      const fields = proc('stat').split(') ')[1]?.split(' ') ?? []
      return (Number(fields[11]) + Number(fields[12])) / 100
    },
    rssMib: () => Math.round(Number(/VmRSS:\s+(\d+)/.exec(proc('status'))?.[1]) / 1_024),
    async stop() {
      child.kill()
      await once(child, 'exit')
    },
  }
}

/** The ingress as shipped. */
export async function startIngress(
  name: string,
  cluster: Cluster,
  config: string,
  env: Readonly<Record<string, string>>,
): Promise<Contestant> {
  const started = await IngressProcess.start({
    connection: cluster,
    config,
    port: await freePort(),
    core: SERVER_CORE,
    env: { LOG_LEVEL: 'warn', ...env },
  })
  return {
    name,
    url: started.url,
    cpuSeconds: () => started.cpuSeconds(),
    rssMib: () => started.rssMib(),
    stop: () => started.stop(),
  }
}
