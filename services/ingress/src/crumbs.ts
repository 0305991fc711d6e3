/**
 * Bodies that come in crumbs: each chunk costs about the same work, whether it holds a byte or thousands. A connection
 * that sends crumbs as fast as it can would keep all others waiting, so such connections take turns, one at a time.
 */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

/** So many chunks are looked at together. */
const CHUNKS = 1_024
/** Chunks are crumbs when they hold less than this on average. */
const CRUMB_BYTES = 64
/** How often one of those that wait is read from; a turn takes up to a third of it. */
const TURN_MS = 100

const waiting = new Set<Socket>()
let turns: NodeJS.Timeout | undefined

/** Counts the chunks of one body, and has its connection wait where they are crumbs. */
export class Crumbs {
  readonly #req: IncomingMessage
  #chunks = 0
  #bytes = 0

  constructor(req: IncomingMessage) {
    this.#req = req
  }

  count(bytes: number): void {
    this.#chunks++
    this.#bytes += bytes
    if (this.#chunks % CHUNKS === 0 && this.#bytes < this.#chunks * CRUMB_BYTES) waitForTurn(this.#req)
  }
}

function waitForTurn(req: IncomingMessage): void {
  // Asked for more, Node would resume the socket by itself.
  req._read = () => {}
  req.socket.pause()
  waiting.add(req.socket)
  turns ??= setInterval(takeTurn, TURN_MS).unref()
}

function takeTurn(): void {
  for (const socket of waiting) {
    waiting.delete(socket)
    if (socket.destroyed) continue
    socket.resume()
    return
  }
  clearInterval(turns)
  turns = undefined
}
