/**
 * Stand between a command and a broker, or the registry, and go away in the middle: at a request that the test chooses
 * all connections are cut, that request does not arrive, and nothing listens any more.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** Kafka's numbers of its requests. */
export const API = {
  produce: 0,
  fetch: 1,
  listOffsets: 2,
  offsetFetch: 9,
  createTopics: 19,
  describeConfigs: 32,
} as const

export interface GoingAway {
  /** `host:port` to connect to. */
  readonly address: string
  /** Whether the request came at which it goes away. */
  isGone(): boolean
  close(): void
}

/** A broker that goes away at the n-th request of a kind. */
export async function goingBroker(broker: string, api: number, nth = 1): Promise<GoingAway> {
  let seen = 0
  const [host = '', port] = broker.split(':')
  const real = Buffer.concat([Buffer.from(host), int32(Number(port))])
  return await goingAway(broker, {
    parts: frames,
    isLast: request => request.readInt16BE(4) === api && ++seen === nth,
    // A broker tells clients where brokers are; they must come back here.
    readdress(answer, ownPort) {
      for (let at = answer.indexOf(real); at >= 0; at = answer.indexOf(real, at + real.length)) {
        answer.writeInt32BE(ownPort, at + host.length)
      }
    },
  })
}

/** A registry that goes away at the n-th request of any kind. */
export async function goingRegistry(url: string, nth = 1): Promise<GoingAway> {
  let seen = 0
  return await goingAway(new URL(url).host, {
    parts: onPart => onPart,
    isLast: request => /^(GET|POST|PUT) /.test(request.toString('latin1')) && ++seen === nth,
    readdress() {},
  })
}

interface Protocol {
  /** Makes requests and answers of the chunks of a connection. */
  readonly parts: (onPart: (part: Buffer) => void) => (chunk: Buffer) => void
  readonly isLast: (request: Buffer) => boolean
  /** Writes this port over the real one. */
  readonly readdress: (answer: Buffer, ownPort: number) => void
}

async function goingAway(target: string, { parts, isLast, readdress }: Protocol): Promise<GoingAway> {
  const [host = '', port] = target.split(':')
  const sockets = new Set<Socket>()
  let isGone = false
  const server = createServer(client => {
    const real = connect(Number(port), host)
    tie(client, real, sockets)
    const onRequest = parts(request => {
      if (isGone || isLast(request)) goAway()
      else real.write(request)
    })
    const onAnswer = parts(answer => {
      readdress(answer, ownPort)
      client.write(answer)
    })
    client.on('data', onRequest)
    real.on('data', onAnswer)
  })
  function close(): void {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
  function goAway(): void {
    isGone = true
    close()
  }
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const ownPort = (server.address() as AddressInfo).port
  return { address: `127.0.0.1:${ownPort}`, isGone: () => isGone, close }
}

/** The end of one is the end of both. */
function tie(client: Socket, real: Socket, sockets: Set<Socket>): void {
  for (const [one, other] of [
    [client, real],
    [real, client],
  ] as const) {
    sockets.add(one)
    one.on('error', () => {})
    one.on('close', () => {
      sockets.delete(one)
      other.destroy()
    })
  }
}

/** Hands over each whole frame of Kafka's protocol: four bytes of length, then so many. */
function frames(onFrame: (frame: Buffer) => void): (chunk: Buffer) => void {
  let held = Buffer.alloc(0)
  return chunk => {
    held = Buffer.concat([held, chunk])
    while (held.length >= 4 && held.length >= 4 + held.readInt32BE(0)) {
      const end = 4 + held.readInt32BE(0)
      onFrame(held.subarray(0, end))
      held = held.subarray(end)
    }
  }
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
