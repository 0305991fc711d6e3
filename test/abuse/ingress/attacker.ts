/** One attack: `attacker.ts NAME URL`, until its standard input ends. Whatever is closed is opened again. */
import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { ATTACKS, type Attack, type AttackKind } from './attacks.ts'

const BODY_BYTES = 1_048_576
const TICK_MS = 50

type Behaviour = (socket: Socket, count: number) => void

const POST = 'POST /webhooks/crm HTTP/1.1\r\nHost: ingress.test\r\n'
const CRUMBS = Buffer.from('1\r\nx\r\n'.repeat(10_000))

const BEHAVIOURS: Readonly<Record<AttackKind, Behaviour>> = {
  silent() {},
  /** A byte is missing. A third of them has closed its side, a third does not read. */
  unfinished(socket, count) {
    socket.write(`${POST}Content-Length: ${BODY_BYTES}\r\n\r\n`)
    socket.write(Buffer.alloc(BODY_BYTES - 1))
    if (count % 3 === 0) socket.end()
    if (count % 3 === 1) socket.pause()
  },
  crumbs(socket) {
    socket.write(`${POST}Transfer-Encoding: chunked\r\n\r\n`)
    const pump = (): void => {
      while (socket.writable && socket.write(CRUMBS));
    }
    socket.on('drain', pump)
    pump()
  },
  crlf(socket) {
    drip(socket, '\r\n', 500)
  },
  deaf(socket) {
    socket.pause()
    drip(socket, 'GET /health/live HTTP/1.1\r\nHost: ingress.test\r\n\r\n'.repeat(4), 200)
  },
  /** Ten a second on each of twenty connections. */
  forged(socket) {
    const every = setInterval(() => {
      const body = JSON.stringify({
        Type: 'Notification',
        MessageId: randomBytes(8).toString('hex'),
        TopicArn: 'arn:aws:sns:eu-central-1:123456789012:orders',
        Message: 'forged',
        Timestamp: new Date().toISOString(),
        SignatureVersion: '2',
        Signature: randomBytes(256).toString('base64'),
        SigningCertURL: `https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-${randomBytes(8).toString('hex')}.pem`,
      })
      const head = `POST /webhooks/sns HTTP/1.1\r\nHost: ingress.test\r\nContent-Length: ${body.length}\r\n\r\n`
      if (socket.writable) socket.write(head + body)
    }, 100)
    socket.once('close', () => clearInterval(every))
    socket.resume()
  },
}

function drip(socket: Socket, text: string, everyMs: number): void {
  const every = setInterval(() => socket.writable && socket.write(text), everyMs)
  socket.once('close', () => clearInterval(every))
}

class Attacker {
  readonly #attack: Attack
  readonly #url: URL
  #open = 0
  #opened = 0
  #answered = 0

  constructor(attack: Attack, url: string) {
    this.#attack = attack
    this.#url = new URL(url)
    setInterval(() => this.#reopen(), TICK_MS)
  }

  summary(): string {
    return `${this.#opened} connections, ${this.#answered} were answered`
  }

  #reopen(): void {
    const { connections, perSecond } = this.#attack
    const allowed = Math.ceil((perSecond * TICK_MS) / 1_000)
    for (let i = 0; i < allowed && this.#open < connections; i++) this.#connect(this.#opened++)
  }

  #connect(count: number): void {
    const { addresses, what } = this.#attack
    this.#open++
    const socket = connect({
      host: this.#url.hostname,
      port: Number(this.#url.port),
      localAddress: `127.0.1.${1 + (count % addresses)}`,
      allowHalfOpen: true,
    })
    socket.on('error', () => {})
    socket.once('data', () => this.#answered++)
    socket.once('close', () => this.#open--)
    socket.once('connect', () => BEHAVIOURS[what](socket, count))
  }
}

const [, , name = '', url = ''] = process.argv
const attack = ATTACKS[name]
if (attack === undefined) throw new Error(`no attack is called ${name}`)
const attacker = new Attacker(attack, url)
process.stdin.resume()
process.stdin.once('end', () => process.stdout.write(attacker.summary(), () => process.exit()))
