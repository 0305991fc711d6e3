/** A peer of an HTTP server that goes on for as long as it is let: it never closes its side, and may never read. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface BadPeerOptions {
  /** Written at once. */
  readonly first?: string | Buffer
  /** Written again and again, every 50 ms. */
  readonly drip?: string
  /** Written after the first answer. */
  readonly afterAnswer?: string
  /** Ends its own side once it has written, and keeps the other open. */
  readonly halfCloses?: boolean
  /** Reads nothing. */
  readonly deaf?: boolean
}

const DRIP_MS = 50

export class BadPeer {
  readonly #socket: Socket
  readonly #drip: NodeJS.Timeout | undefined
  #said = ''
  #gone = false

  private constructor(socket: Socket, options: BadPeerOptions) {
    const { first, drip, afterAnswer, halfCloses = false, deaf = false } = options
    this.#socket = socket
    let pending = afterAnswer
    if (!deaf) {
      socket.on('data', chunk => {
        this.#said += chunk.toString('latin1')
        if (pending !== undefined) socket.write(pending)
        pending = undefined
      })
    }
    socket.on('close', () => {
      this.#gone = true
    })
    if (first !== undefined) socket.write(first)
    if (halfCloses) socket.end()
    if (drip !== undefined) this.#drip = setInterval(() => socket.writable && socket.write(drip), DRIP_MS)
  }

  static async open(url: string, options: BadPeerOptions = {}): Promise<BadPeer> {
    const { hostname, port } = new URL(url)
    const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true })
    socket.on('error', () => {})
    await once(socket, 'connect')
    return new BadPeer(socket, options)
  }

  /** Everything that it was told. */
  get said(): string {
    return this.#said
  }

  /** How many answers it was given. */
  get answers(): readonly string[] {
    return [...this.#said.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status = '']) => status)
  }

  /** Whether the server has reset it. */
  get gone(): boolean {
    return this.#gone
  }

  close(): void {
    clearInterval(this.#drip)
    this.#socket.destroy()
  }
}
