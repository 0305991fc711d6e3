import type { Socket } from 'node:net'

/**
 * Counts the requests of each connection. Node's own `maxRequestsPerSocket` only announces the end: it keeps the
 * connection open and answers what still comes with 503.
 */
export class ConnectionUse {
  readonly #requestsMax: number
  readonly #requests = new WeakMap<Socket, number>()

  /** `requestsMax`: 0 for any number. */
  constructor(requestsMax: number) {
    this.#requestsMax = requestsMax
  }

  /** Counts a request; true where it is the connection's last. */
  isLast(socket: Socket): boolean {
    if (this.#requestsMax === 0) return false
    const requests = (this.#requests.get(socket) ?? 0) + 1
    this.#requests.set(socket, requests)
    return requests >= this.#requestsMax
  }
}
