/**
 * A proxy in front of each broker that delays, repeats, reorders and loses whole requests.
 *
 *     const proxy = await KafkaProxy.start(3)
 *     const cluster = await startCluster({ brokers: 3, moreListeners: proxy.listeners })
 *     const kafka = rawKafka(proxy.brokers)
 *     proxy.use(duplicate(ofApi('EndTxn'), 500, proxy.sendAgain))
 *
 * Each broker has a listener for it whose advertised port is the proxy's, so that a client which begins at the proxy
 * stays there; `cluster.brokers` still leads to the brokers themselves. With `betweenBrokers` what brokers say to each
 * other passes as well (WriteTxnMarkers, and AddPartitionsToTxn to verify), with `from: 'broker'`.
 */
import { createServer, type Server, type Socket } from 'node:net'
import type { Listener } from 'sallyport/broker/kafka-server'
import { freePort } from 'sallyport/broker/ports'
import { ask, link, type Route } from './link.ts'
import type { KafkaRequest } from './request.ts'
import { type Rule, type SendAgain, untouched } from './rule.ts'

/** One port of the proxy. */
interface Door extends Route {
  readonly server: Server
  readonly advertisedPort: number
}

export class KafkaProxy {
  readonly #doors: readonly Door[]
  readonly #sockets: Set<Socket>
  #rule: Rule = untouched
  #failure: unknown
  #stopped = false

  private constructor(doors: readonly Door[], sockets: Set<Socket>) {
    this.#doors = doors
    this.#sockets = sockets
    for (const door of doors) door.server.on('connection', client => this.#take(client, door))
  }

  /** Listens; the brokers may come later. */
  static async start(
    brokers: number,
    options: { readonly betweenBrokers?: boolean } = {},
  ): Promise<KafkaProxy> {
    const from = options.betweenBrokers ? (['client', 'broker'] as const) : (['client'] as const)
    const routes = Array.from({ length: brokers }, (_, broker) =>
      from.map(whose => ({ broker, from: whose })),
    ).flat()
    const doors: Door[] = []
    for (const route of routes) {
      const server = createServer({ noDelay: true })
      const advertisedPort = await listen(server)
      doors.push({ ...route, port: await freePort(), server, advertisedPort })
    }
    return new KafkaProxy(doors, new Set())
  }

  /** What the brokers must listen on, broker by broker: `startCluster` takes it. */
  get listeners(): Listener[][] {
    const listeners: Listener[][] = []
    for (const { broker, from, port, advertisedPort } of this.#doors) {
      listeners[broker] ??= []
      listeners[broker].push({
        name: from === 'client' ? 'PROXIED' : 'BETWEEN',
        port,
        advertisedPort,
        isForBrokers: from === 'broker',
      })
    }
    return listeners
  }

  /** `host:port` of each broker through the proxy. */
  get brokers(): string[] {
    return this.#doors
      .filter(({ from }) => from === 'client')
      .map(({ advertisedPort }) => `127.0.0.1:${advertisedPort}`)
  }

  /** From now on this happens to requests; those that a former rule has already been asked about are its own. */
  use(rule: Rule): void {
    this.#rule = rule
  }

  /** Sends a copy of a request to the broker that it was for; see L3 and L4. */
  readonly sendAgain: SendAgain = async (request: KafkaRequest) => {
    const door = this.#doors.find(({ broker, from }) => broker === request.broker && from === request.from)
    if (this.#stopped || door === undefined) throw new Error('the proxy has stopped')
    return await ask(request, door, this.#sockets)
  }

  /** Ends every connection. Rejects with what a rule threw, if one did. Idempotent. */
  async stop(): Promise<void> {
    this.#stopped = true
    const closed = this.#doors.map(({ server }) => new Promise(resolve => server.close(resolve)))
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(closed)
    if (this.#failure !== undefined) throw this.#failure
  }

  #take(client: Socket, door: Door): void {
    this.#sockets.add(client)
    client.once('close', () => this.#sockets.delete(client))
    // `link` sees it end.
    client.on('error', () => {})
    link(client, door, request => this.#rule(request), this.#sockets).catch(error => {
      this.#failure ??= error
    })
  }
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port))
  })
}
