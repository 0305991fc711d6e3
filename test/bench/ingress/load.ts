/** Load for a contestant: as much as it takes (wrk), or at a fixed rate; signed anew each time, since signed times age. */
import { execFile } from 'node:child_process'
import { createHmac, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Contestant } from './contestants.ts'

export const SECRET = 'a secret of some length'
const LOAD_CORE = 1
const REQUESTS = 2_000

const run = promisify(execFile)

export interface Round {
  readonly cpuMicros: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** ~1 KiB of signed ticket updates; the signed time must stay fresh, so they are made anew before each round. */
function writeRequests(file: string): void {
  const lines = Array.from({ length: REQUESTS }, (_, i) => {
    const note = randomBytes(420).toString('hex')
    const ticket = { id: i, subject: 'Printer on fire', note }
    const body = JSON.stringify({
      agent_id: `agent_${i}`,
      status: 'open',
      timestamp: new Date().toISOString(),
      ticket,
    })
    return `${createHmac('sha256', SECRET).update(body).digest('hex')} ${body}`
  })
  writeFileSync(file, lines.join('\n'))
}

export async function load(url: string, connections: number, seconds: number, file: string): Promise<string> {
  writeRequests(file)
  const lua = fileURLToPath(new URL('signed-load.lua', import.meta.url))
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '-s', lua, '--latency', url]
  const { stdout } = await run('taskset', ['-c', String(LOAD_CORE), 'wrk', ...args], {
    env: { ...process.env, SIGNED_REQUESTS: file },
  })
  const wrong = /Non-2xx or 3xx responses: (\d+)/.exec(stdout)
  if (wrong !== null) throw new Error(`${url}: ${wrong[1]} answers were not 2xx`)
  return stdout
}

export async function round(
  contestant: Contestant,
  connections: number,
  seconds: number,
  file: string,
): Promise<Round> {
  const before = contestant.cpuSeconds()
  const text = await load(contestant.url, connections, seconds, file)
  const requests = Number(/(\d+) requests in/.exec(text)?.[1])
  return {
    cpuMicros: ((contestant.cpuSeconds() - before) / requests) * 1e6,
    perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]),
    p50Ms: milliseconds(/50%\s+(\S+)/.exec(text)?.[1]),
    p99Ms: milliseconds(/99%\s+(\S+)/.exec(text)?.[1]),
  }
}

function milliseconds(text = ''): number {
  const value = Number.parseFloat(text)
  if (text.endsWith('us')) return value / 1_000
  return text.endsWith('ms') ? value : value * 1_000
}

/** Sends at a fixed rate, whatever the answers do, and gives the quantiles of the time to the answer. */
export async function latencyAt(
  url: string,
  perSecond: number,
  seconds: number,
): Promise<{ p50Ms: number; p99Ms: number }> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  const took: number[] = []
  const pending: Promise<void>[] = []
  const startedAt = performance.now()
  for (let sent = 0; sent < perSecond * seconds; ) {
    const due = Math.min(
      perSecond * seconds,
      Math.floor(((performance.now() - startedAt) / 1_000) * perSecond),
    )
    for (; sent < due; sent++) pending.push(timed(url, agent, took))
    await sleep(1)
  }
  await Promise.all(pending)
  agent.destroy()
  const sorted = took.slice(perSecond).sort((a, b) => a - b)
  const quantile = (q: number) => sorted[Math.floor(sorted.length * q)] as number
  return { p50Ms: quantile(0.5), p99Ms: quantile(0.99) }
}

function timed(url: string, agent: Agent, took: number[]): Promise<void> {
  const note = randomBytes(420).toString('hex')
  const body = JSON.stringify({
    agent_id: 'agent_1',
    status: 'open',
    timestamp: new Date().toISOString(),
    note,
  })
  const headers = { 'X-Webhook-Signature': createHmac('sha256', SECRET).update(body).digest('hex') }
  const startedAt = performance.now()
  return new Promise((resolve, reject) => {
    const req = request(`${url}/webhooks/crm`, { method: 'POST', agent, headers }, res => {
      res.resume()
      res.on('end', () => {
        took.push(performance.now() - startedAt)
        if (res.statusCode === 200) resolve()
        else reject(new Error(`${res.statusCode} at a fixed rate`))
      })
    })
    req.on('error', reject)
    req.end(body)
  })
}
