/**
 * A `Peer` is one connection of an HTTP server, and what its other side still owes.
 *
 * | The peer owes                    | Deadline                                                   | Then               |
 * |----------------------------------|------------------------------------------------------------|--------------------|
 * | a TLS handshake                  | `headerTimeoutMs` from the accept                          | closed             |
 * | its first headers                | `headerTimeoutMs` from the accept, or from the handshake   | 408, closed        |
 * | the rest of later headers        | `headerTimeoutMs` from the first byte, be it a bare CRLF   | 408, closed        |
 * | another request                  | `keepAliveTimeoutMs` from the end of the last answer       | closed             |
 * | the rest of a body               | `bodyTimeoutMs` from the first byte of its request         | 408 if unanswered  |
 * | to read what was written to it   | `answerTimeoutMs` from when it first did not               | reset              |
 * | nothing: its request is with us  | none; the stages have deadlines of their own               |                    |
 *
 * A closed peer has two looks of the watch to close its side; then it is reset (RST). A reset frees the socket, and with
 * it everything that waits for it, whatever the peer does or omits.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** What peers may take, in ms and numbers. */
export interface PeerLimits {
  readonly headerTimeoutMs: number
  readonly bodyTimeoutMs: number
  readonly keepAliveTimeoutMs: number
  /** How long written bytes may wait for the peer to read them. */
  readonly answerTimeoutMs: number
  /** Age from which a connection takes no further request. */
  readonly connectionAgeMaxMs: number
  /** Requests of one connection that may be unanswered at once. */
  readonly pipelinedRequestsMax: number
}

/** Of an operators' listener: its peers are few, and the operators' own. */
export const OPERATOR_LIMITS: PeerLimits = {
  headerTimeoutMs: 5_000,
  bodyTimeoutMs: 10_000,
  keepAliveTimeoutMs: 75_000,
  answerTimeoutMs: 10_000,
  connectionAgeMaxMs: 3_600_000,
  pipelinedRequestsMax: 16,
}

/** How many looks of the watch a closed peer has to close its side. */
const CLOSING_LOOKS = 2

/** Why a body is not read to its end: it is past its deadline, or its form is not HTTP's. */
export type BodyEnd = 'late' | 'malformed'

const peers = new WeakMap<object, Peer>()

/** The peer of a request's socket; undefined where nobody watches over the server. */
export function peerOf(socket: object): Peer | undefined {
  return peers.get(socket)
}

export class Peer {
  /** The TCP connection. */
  readonly socket: Socket
  /**
   * Ends the request whose body is under way: whoever reads the body gives its bytes back and answers. Undefined while
   * nobody reads one.
   */
  endBody: ((why: BodyEnd) => void) | undefined
  /** Called at the first request that proves who it is from. */
  onProven: (() => void) | undefined
  readonly #limits: PeerLimits
  readonly #onGone: (peer: Peer) => void
  readonly #acceptedAt: number
  /** Where HTTP is spoken: the TCP connection itself or the TLS within it; undefined during the handshake. */
  #stream: Socket | undefined
  /** Since when it owes a handshake, headers or another request. */
  #waitingSince: number
  /** Bytes read when it began to wait; undefined where that was while a refused body still came. */
  #bytesSeen: number | undefined = 0
  #firstByteAt: number | undefined
  #request: IncomingMessage | undefined
  #response: ServerResponse | undefined
  #requestBeganAt = 0
  #answered = 0
  #unanswered = 0
  #unreadSince: number | undefined
  #closingLooks: number | undefined
  #lastAnswers = false
  #gone = false

  /** `onGone` hears once that the peer is gone or given up. */
  constructor(
    socket: Socket,
    limits: PeerLimits,
    now: number,
    awaitsHandshake: boolean,
    onGone: (peer: Peer) => void,
  ) {
    this.socket = socket
    this.#limits = limits
    this.#onGone = onGone
    this.#acceptedAt = now
    this.#waitingSince = now
    if (!awaitsHandshake) this.speaks(socket, now)
    socket.once('close', () => this.#leave())
  }

  get gone(): boolean {
    return this.#gone
  }

  /** Whether it is being closed: no request of it is taken any more. */
  get closing(): boolean {
    return this.#gone || this.#closingLooks !== undefined
  }

  /** Whether the body of its latest request has not come to its end. */
  get bodyUnderWay(): boolean {
    return this.#request !== undefined && !this.#request.complete
  }

  /** Requests that have no whole answer yet. */
  get unanswered(): number {
    return this.#unanswered
  }

  /** HTTP begins on `stream`. */
  speaks(stream: Socket, now: number): void {
    this.#stream = stream
    this.#waitingSince = now
    peers.set(stream, this)
  }

  /** One of its requests proved who it is from. */
  proves(): void {
    this.onProven?.()
    this.onProven = undefined
  }

  /** A request's headers are complete. False where it is not taken: then the peer is closed already, or reset now. */
  begins(req: IncomingMessage, res: ServerResponse, now: number): boolean {
    if (this.closing || this.#lastAnswers) return false
    if (this.#unanswered >= this.#limits.pipelinedRequestsMax) {
      this.reset()
      return false
    }
    this.#unanswered++
    this.#request = req
    this.#response = res
    this.endBody = undefined
    this.#requestBeganAt = this.#firstByteAt ?? now
    this.#firstByteAt = undefined
    if (now - this.#acceptedAt >= this.#limits.connectionAgeMaxMs) res.setHeader('Connection', 'close')
    return true
  }

  /** An answer came to its end, or was given up. */
  answered(now: number): void {
    this.#unanswered--
    this.#answered++
    if (this.#unanswered > 0) return
    this.#waitingSince = now
    this.#bytesSeen = this.bodyUnderWay ? undefined : this.#stream?.bytesRead
    if (this.#lastAnswers) this.close()
  }

  /** Closes it once everything that was asked is answered; nothing more of it is read. */
  closeAfterAnswers(): void {
    if (this.#unanswered === 0) this.close()
    else this.#lastAnswers = true
  }

  /** Writes `last`, where there is something to say, and closes; a peer that does not close its side is reset soon. */
  close(last?: string): void {
    if (this.closing) return
    this.#closingLooks = 0
    const stream = this.#stream ?? this.socket
    if (!stream.writable) this.reset()
    else if (last === undefined) stream.end()
    else stream.end(last)
  }

  /**
   * Gives up the body that is under way, and the connection with it. Its request is answered where it can be: where
   * nothing of an answer is written yet, and no other one is due before it.
   */
  giveUpBody(why: BodyEnd): void {
    const { endBody } = this
    if (endBody === undefined || this.#unanswered !== 1 || this.#response?.headersSent !== false) {
      this.reset()
      return
    }
    this.endBody = undefined
    this.closeWithAnswer()
    endBody(why)
  }

  /** Closes it by the answer that is written now: that says `Connection: close`, and nothing is waited for. */
  closeWithAnswer(): void {
    this.#closingLooks ??= 0
  }

  /** Frees the socket at once. */
  reset(): void {
    if (this.#gone) return
    this.#leave()
    // Of a TLS connection as well it is the TCP connection that is reset.
    this.socket.resetAndDestroy()
    this.#stream?.destroy()
  }

  /** Gives up what is past its deadline. `late` is the whole 408 for a request whose headers are late. */
  look(now: number, slackMs: number, late: string): void {
    if (this.#gone) return
    if (this.#closingLooks !== undefined) {
      if (++this.#closingLooks >= CLOSING_LOOKS) this.reset()
      return
    }
    const isPast = (since: number, timeoutMs: number): boolean => now - since >= timeoutMs + slackMs
    const { headerTimeoutMs, bodyTimeoutMs, answerTimeoutMs } = this.#limits
    const stream = this.#stream
    if (stream === undefined) {
      if (isPast(this.#waitingSince, headerTimeoutMs)) this.close()
    } else if (this.#unread(stream, now, answerTimeoutMs + slackMs)) {
      this.reset()
    } else if (this.bodyUnderWay) {
      if (isPast(this.#requestBeganAt, bodyTimeoutMs)) this.giveUpBody('late')
    } else if (this.#unanswered === 0) {
      this.#lookWhileWaiting(stream, now, isPast, late)
    }
  }

  #lookWhileWaiting(
    stream: Socket,
    now: number,
    isPast: (since: number, timeoutMs: number) => boolean,
    late: string,
  ): void {
    const { headerTimeoutMs, keepAliveTimeoutMs, connectionAgeMaxMs } = this.#limits
    if (this.#bytesSeen === undefined) {
      this.#bytesSeen = stream.bytesRead
      this.#waitingSince = now
    }
    if (stream.bytesRead > this.#bytesSeen) this.#firstByteAt ??= now
    const headersSince = this.#answered === 0 ? this.#waitingSince : this.#firstByteAt
    if (headersSince !== undefined) {
      if (isPast(headersSince, headerTimeoutMs)) this.close(late)
    } else if (
      isPast(this.#waitingSince, keepAliveTimeoutMs) ||
      isPast(this.#acceptedAt, connectionAgeMaxMs)
    ) {
      this.close()
    }
  }

  /** Whether what was written has waited for too long. That a little of it was read changes nothing. */
  #unread(stream: Socket, now: number, timeoutMs: number): boolean {
    if (stream.writableLength === 0) {
      this.#unreadSince = undefined
      return false
    }
    this.#unreadSince ??= now
    return now - this.#unreadSince >= timeoutMs
  }

  #leave(): void {
    if (this.#gone) return
    this.#gone = true
    this.#request = undefined
    this.#response = undefined
    this.endBody = undefined
    this.onProven = undefined
    this.#onGone(this)
  }
}
