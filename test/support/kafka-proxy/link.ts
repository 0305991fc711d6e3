/**
 * One connection of a client through the proxy.
 *
 *     client → frame → rule → broker → answer → client
 *
 * - L1. Requests reach the broker in the client's order, each whole, unless a rule sets one aside.
 * - L2. A request that has reached the proxy reaches the broker unless a rule loses it, even if the client is gone by
 *   then: that is how a request comes late.
 * - L3. The answer to a copy goes to nobody.
 * - L4. A request that is set aside or copied goes over a connection of its own: Kafka takes one request of a
 *   connection at a time.
 * - L5. The client gets a request's answer as the rule rewrites it, and else as the broker wrote it.
 */
import { connect, type Socket } from 'node:net'
import { frames, send } from './frames.ts'
import { type KafkaRequest, readRequest } from './request.ts'
import type { Rule, Treatment } from './rule.ts'

const CORRELATION_ID = 4

/** By correlation id what is done to an answer. */
type Rewritten = Map<number, NonNullable<Treatment['rewrite']>>

/** Where a link leads. */
export interface Route {
  /** The broker, from 0. */
  readonly broker: number
  readonly from: KafkaRequest['from']
  /** The broker's own listener, on 127.0.0.1. */
  readonly port: number
}

/** Carries a client's connection until either side is gone; rejects when a rule does. */
export async function link(client: Socket, route: Route, rule: Rule, sockets: Set<Socket>): Promise<void> {
  const broker = open(route.port, sockets)
  /** Correlation ids whose answers the client does not get. */
  const dropped = new Set<number>()
  const rewritten: Rewritten = new Map()
  const answers = pass(broker, client, dropped, rewritten)
  try {
    for await (const frame of frames(client)) {
      const request = readRequest(frame, route)
      const treatment = (await rule(request)) ?? {}
      if (treatment.isLost) break
      if (treatment.answer !== undefined) dropped.add(request.correlationId)
      if (treatment.rewrite !== undefined) rewritten.set(request.correlationId, treatment.rewrite)
      if (treatment.asideUntil === undefined) {
        await send(broker, frame)
      } else {
        void goAside(request, treatment.asideUntil, route, sockets).then(
          async answer => {
            if (!dropped.delete(request.correlationId)) await send(client, asRewritten(answer, rewritten))
          },
          () => client.destroy(),
        )
      }
      if (treatment.answer === 'cut') client.destroy()
    }
  } catch (error) {
    broker.destroy()
    client.destroy()
    throw error
  }
  client.destroy()
  // What was sent is still answered, though nobody listens.
  broker.end()
  await answers
}

/** Sends a request on a connection of its own; resolves with the broker's answer. */
export async function ask(request: KafkaRequest, route: Route, sockets: Set<Socket>): Promise<Buffer> {
  const broker = open(route.port, sockets)
  try {
    await send(broker, request.frame)
    for await (const answer of frames(broker)) return answer
    throw new Error(`broker ${route.broker} closed the connection without an answer`)
  } finally {
    broker.destroy()
  }
}

async function goAside(
  request: KafkaRequest,
  until: Promise<unknown>,
  route: Route,
  sockets: Set<Socket>,
): Promise<Buffer> {
  await until
  return await ask(request, route, sockets)
}

/** Hands the broker's answers to the client. The client's connection ends with the broker's. */
async function pass(
  broker: Socket,
  client: Socket,
  dropped: Set<number>,
  rewritten: Rewritten,
): Promise<void> {
  for await (const answer of frames(broker)) {
    if (!dropped.delete(answer.readInt32BE(CORRELATION_ID)))
      await send(client, asRewritten(answer, rewritten))
  }
  client.destroy()
}

/** The answer as the rule of its request would have it. */
function asRewritten(answer: Buffer, rewritten: Rewritten): Buffer {
  const id = answer.readInt32BE(CORRELATION_ID)
  const rewrite = rewritten.get(id)
  rewritten.delete(id)
  return rewrite === undefined ? answer : rewrite(answer)
}

function open(port: number, sockets: Set<Socket>): Socket {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true })
  sockets.add(socket)
  socket.once('close', () => sockets.delete(socket))
  // Whoever reads from it sees it end.
  socket.on('error', () => {})
  return socket
}
