/**
 * Watches over the connections of an HTTP server: `Peers` looks at each of them again and again, and gives up what is
 * past its deadline (see `peer.ts`). Node's own time-outs report an expired request once, free nothing, and do not see
 * what a peer does after its answer; they are off.
 */
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { Peer, type PeerLimits, peerOf } from './peer.ts'

/** How often every peer is looked at. With two looks for the deadline and two for the close it is 600 ms at most. */
const LOOK_MS = 150
/** A process that stood still for longer has not read what came meanwhile: such time is nobody's delay. */
const STANDSTILL_MS = 1_000

export interface PeersOptions {
  readonly limits: PeerLimits
  /** A whole answer (408) for headers that are late. */
  readonly late: string
  /** The server speaks TLS. */
  readonly tls?: boolean
  /** Hears of each new peer, before anything of it is read, and that it is gone. */
  readonly onPeer?: (peer: Peer) => void
  readonly onGone?: (peer: Peer) => void
}

/** Watches over a server that does not listen yet, until it is closed; `handle` gets its requests. */
export function watchPeers(server: Server, handle: RequestListener, options: PeersOptions): void {
  server.headersTimeout = 0
  server.requestTimeout = 0
  const watch = new Watch(options)
  server.on('connection', socket => watch.accept(socket))
  if (options.tls === true) server.on('secureConnection', stream => watch.shookHands(stream))
  const guarded = (req: IncomingMessage, res: ServerResponse): void => {
    if (watch.begins(req, res)) handle(req, res)
  }
  server.on('request', guarded)
  // Unheard, Node would answer "100 Continue" before anything is known about the request.
  server.on('checkContinue', guarded)
  server.on('checkExpectation', (req, res) => {
    if (watch.begins(req, res)) res.writeHead(417, { Connection: 'close' }).end()
  })
  server.once('close', () => watch.stop())
}

class Watch {
  readonly #options: PeersOptions
  readonly #peers = new Set<Peer>()
  /** During TLS handshakes: by the peer's address and port. */
  readonly #handshakes = new Map<string, Peer>()
  readonly #timer: NodeJS.Timeout
  /** Time that this process spent running, as of the last look; a deadline counts by it. */
  #now = 0
  #lookedAt = performance.now()

  constructor(options: PeersOptions) {
    this.#options = options
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref()
  }

  accept(socket: Socket): void {
    const { limits, tls = false, onPeer, onGone } = this.#options
    const name = nameOf(socket)
    const peer = new Peer(socket, limits, this.#now, tls, gone => {
      this.#peers.delete(gone)
      if (this.#handshakes.get(name) === gone) this.#handshakes.delete(name)
      onGone?.(gone)
    })
    this.#peers.add(peer)
    if (tls) this.#handshakes.set(name, peer)
    onPeer?.(peer)
  }

  shookHands(stream: Socket): void {
    const name = nameOf(stream)
    const peer = this.#handshakes.get(name)
    this.#handshakes.delete(name)
    if (peer === undefined) stream.destroy()
    else peer.speaks(stream, this.#now)
  }

  begins(req: IncomingMessage, res: ServerResponse): boolean {
    const peer = peerOf(req.socket)
    if (peer?.begins(req, res, this.#now) !== true) return false
    res.once('close', () => peer.answered(this.#now))
    return true
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    const at = performance.now()
    this.#now += Math.min(at - this.#lookedAt, STANDSTILL_MS)
    this.#lookedAt = at
    // What is noted between two looks bears the time of the first: without the slack it would be given up too soon.
    for (const peer of this.#peers) peer.look(this.#now, LOOK_MS, this.#options.late)
  }
}

function nameOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`
}

/**
 * Answers what is no HTTP, or not of this server's form, with `answer`, the whole text; then the connection is closed.
 */
export function refuseTransport(stream: Duplex, answer: string): void {
  const peer = peerOf(stream)
  if (peer === undefined) stream.destroy()
  else if (peer.closing) return
  else if (peer.bodyUnderWay) peer.giveUpBody('malformed')
  else if (peer.unanswered > 0) peer.closeAfterAnswers()
  else peer.close(answer)
}
