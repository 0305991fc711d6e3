/**
 * A few connections to each broker, on which all transactional producers of a process send their requests.
 *
 * A request goes to the connection with the least under way; where none has room it waits for its turn.
 *
 * C5. At most `perBroker` connections to a broker, however many producers there are; a quiet process has one.
 * C6. At most `UNDER_WAY_MAX` requests on a connection. What waits longer than a request may take is refused: the broker
 *     hangs, and somebody else may lead or coordinate by now.
 * C7. A broker that hangs or is slow holds up no request to another one.
 */
import { type Broker, ConnectionPool, type Connection as KafkaConnection } from '@platformatic/kafka'

const UNDER_WAY_MAX = 8
const CONNECT_TIMEOUT_MS = 1_500

export class SharedConnections {
  readonly #requestTimeoutMs: number
  /** Each holds one connection per broker. */
  readonly #pools: readonly ConnectionPool[]
  readonly #traffic = new Map<string, Traffic>()

  /** `requestTimeoutMs`: a connection on which an answer stays away longer is closed. */
  constructor(clientId: string, perBroker: number, requestTimeoutMs: number) {
    this.#requestTimeoutMs = requestTimeoutMs
    this.#pools = Array.from({ length: perBroker }, () => {
      const pool = new ConnectionPool(clientId, {
        connectTimeout: CONNECT_TIMEOUT_MS,
        requestTimeout: requestTimeoutMs,
        maxInflights: Number.MAX_SAFE_INTEGER,
      })
      pool.on('connect', ({ connection }) => connection.on('error', ignore))
      return pool
    })
  }

  /** Runs one request on one of a broker's connections. Rejects where none is to be had, or as the request does. */
  async use<T>(broker: Broker, request: (connection: KafkaConnection) => Promise<T>): Promise<T> {
    const traffic = this.#trafficOf(broker)
    const chosen = traffic.choose() ?? (await traffic.wait(this.#requestTimeoutMs))
    try {
      return await request(await (this.#pools[chosen] as ConnectionPool).get(broker))
    } finally {
      traffic.done(chosen)
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#pools.map(pool => pool.close().catch(ignore)))
  }

  #trafficOf({ host, port }: Broker): Traffic {
    const address = `${host}:${port}`
    let traffic = this.#traffic.get(address)
    if (traffic === undefined) {
      traffic = new Traffic(this.#pools.length)
      this.#traffic.set(address, traffic)
    }
    return traffic
  }
}

/** What is under way to one broker, and who waits for room. */
class Traffic {
  readonly #underWay: number[]
  readonly #waiting = new Set<(chosen: number) => void>()

  constructor(connections: number) {
    this.#underWay = Array.from({ length: connections }, () => 0)
  }

  /** Takes room on the connection with the least under way; undefined where there is none. */
  choose(): number | undefined {
    const least = Math.min(...this.#underWay)
    if (least >= UNDER_WAY_MAX) return undefined
    const chosen = this.#underWay.indexOf(least)
    this.#underWay[chosen] = least + 1
    return chosen
  }

  wait(timeoutMs: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const take = (chosen: number): void => {
        clearTimeout(timer)
        resolve(chosen)
      }
      const timer = setTimeout(() => {
        this.#waiting.delete(take)
        reject(new Error('too much is under way to the broker'))
      }, timeoutMs)
      this.#waiting.add(take)
    })
  }

  /** Gives the room to whoever has waited longest. */
  done(chosen: number): void {
    const [first] = this.#waiting
    if (first === undefined) {
      this.#underWay[chosen] = (this.#underWay[chosen] as number) - 1
    } else {
      this.#waiting.delete(first)
      first(chosen)
    }
  }
}

function ignore(): void {}
