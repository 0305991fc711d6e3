import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const DOOR = fileURLToPath(new URL('../../support/door-process.ts', import.meta.url))
const MIB = 1_048_576
const IN_FLIGHT_MIB = 128
/** What a body may take of memory, for each byte of the budget. */
const FACTOR = 1.5
const ANSWERED_MS_MAX = 1_000

/** Any number of bytes as chunks of a length. */
function chunked(bytes: number, length: number): Buffer {
  const chunk = `${length.toString(16)}\r\n${'x'.repeat(length)}\r\n`
  return Buffer.from(chunk.repeat(Math.floor(bytes / length)))
}

/** What a connection may take: 20 KiB, its longest headers, and 100 bytes for each of their lines. */
const CONNECTION_KIB = 20 + 16 + 10

describe('requests that nothing proves', function () {
  this.timeout(120_000)
  let door: ChildProcess
  let said: AsyncIterator<string>
  let url: URL
  const sockets: Socket[] = []

  beforeEach(async () => {
    const settings = `inFlightBytesMax: ${IN_FLIGHT_MIB * MIB}, inFlightBytesPerAddressMax: ${IN_FLIGHT_MIB * MIB}, bodyBytesMax: ${4 * MIB}, bodyTimeout: 60s`
    // The heap that compose gives an ingress.
    const args = ['--max-old-space-size=384', '--max-semi-space-size=1', '--no-warnings', DOOR, settings]
    door = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    said = createInterface(door.stdout as NodeJS.ReadableStream)[Symbol.asyncIterator]()
    url = new URL(await line())
  })
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy()
    const ended = door.exitCode === null && door.signalCode === null ? once(door, 'exit') : undefined
    door.stdin?.end()
    await ended
  })

  async function line(): Promise<string> {
    return (await said.next()).value
  }

  /**
   * What the process takes of the machine's memory once its garbage is collected, MiB. Garbage is no body's: how much of
   * it lies about at a moment is V8's choice, and more on a busy machine.
   */
  async function takenMib(): Promise<number> {
    door.stdin?.write('\n')
    return Number(await line()) / MIB
  }

  function send(head: string, pieces: readonly Buffer[]): void {
    const socket = connect(Number(url.port), url.hostname)
    sockets.push(socket)
    socket.on('error', () => {})
    socket.write(`POST /webhooks/crm HTTP/1.1\r\nHost: x\r\n${head}\r\n\r\n`)
    for (const piece of pieces) socket.write(piece)
  }

  async function live(): Promise<number> {
    const from = performance.now()
    assert.equal((await fetch(new URL('/health/live', url))).status, 200)
    return performance.now() - from
  }

  /** The most that it takes until it has read what there is to read: it takes no more then. */
  async function mostMib(): Promise<number> {
    let most = 0
    let grownTo = 0
    for (let still = 0; still < 5; await sleep(200)) {
      const now = await takenMib()
      still = now > grownTo + 1 ? 0 : still + 1
      if (still === 0) grownTo = now
      most = Math.max(most, now)
    }
    return most
  }

  it('stays within ingress.inFlightBytesMax and a half, however bodies are cut', async () => {
    // What the process itself comes to, once it has seen bodies of every kind.
    for (const cut of [1, 100, 5_000, 65_000]) send('Transfer-Encoding: chunked', [chunked(65_000, cut)])
    const before = await mostMib()
    const declared = `Content-Length: ${4 * MIB}`
    const body = 4 * MIB - 1
    for (let i = 0; i < 20; i++) {
      send(declared, [Buffer.alloc(body)])
      send('Transfer-Encoding: chunked', [chunked(body, 100)])
      send('Transfer-Encoding: chunked', [chunked(body, 5_000)])
      send(declared, [])
      send('Transfer-Encoding: chunked', [chunked(40_000, 1)])
    }
    const held = Math.round((await mostMib()) - before)
    await live()
    assert.ok(held > IN_FLIGHT_MIB / 2, `only ${held} MiB were taken`)
    assert.ok(held <= IN_FLIGHT_MIB * FACTOR, `${held} MiB were taken of ${IN_FLIGHT_MIB}`)
  })

  it('stays within its bound for each connection, however many lines its headers have', async () => {
    const connections = 900
    const lines = Array.from({ length: 985 }, (_, i) => `x${i.toString(36)}:aaaaaaaa\r\n`).join('')
    send('X: y', [])
    const before = await mostMib()
    for (let i = 0; i < connections; i++) {
      // Half of them go on to a body, of which nothing comes.
      const end = i % 2 === 0 ? '' : 'Content-Length: 9\r\n\r\n'
      const socket = connect(Number(url.port), url.hostname)
      sockets.push(socket)
      socket.on('error', () => {})
      socket.write(`POST /webhooks/crm HTTP/1.1\r\nHost: x\r\n${lines}${end}`)
    }
    const most = Math.round((await mostMib()) - before)
    await live()
    assert.ok(most <= (connections * CONNECTION_KIB) / 1_024, `${most} MiB were taken`)
  })

  it('are read in turns: others are answered meanwhile', async () => {
    const before = await takenMib()
    const crumbs = chunked(64_000, 1)
    for (let i = 0; i < 8; i++) send('Transfer-Encoding: chunked', Array(60).fill(crumbs))
    const took: number[] = []
    const taken: number[] = []
    for (let i = 0; i < 30; i++) {
      took.push(await live())
      if (i % 5 === 4) taken.push(await takenMib())
      await sleep(100)
    }
    took.sort((a, b) => a - b)
    const median = took[15] ?? Number.POSITIVE_INFINITY
    assert.ok(median < ANSWERED_MS_MAX / 4, `half of the answers took ${Math.round(median)} ms`)
    const most = Math.round(Math.max(...taken) - before)
    assert.ok(most <= IN_FLIGHT_MIB / 2, `${most} MiB were taken`)
  })
})
