/** HAProxy with the configuration that ships; only its addresses are this machine's. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from 'sallyport/broker/ports'

import { send } from '../../support/ingress.ts'
import type { TestCertificate } from '../../support/tls-certificates.ts'

const SHIPPED = fileURLToPath(new URL('../../../deploy/load-balancer/haproxy.cfg', import.meta.url))
const READY_TIMEOUT_MS = 20_000

/** The shipped configuration for one ingress, which no name service knows. */
function configuration(port: number, ingress: URL, certificates: string): string {
  let text = readFileSync(SHIPPED, 'utf8')
  const replace = (from: RegExp, to: string): void => {
    const replaced = text.replace(from, to)
    if (replaced === text) throw new Error(`${SHIPPED} has no ${from}`)
    text = replaced
  }
  replace(/bind :8480/g, `bind 127.0.0.1:${port}`)
  replace(/bind :8443/g, `bind 127.0.0.1:${port}`)
  replace(/\/etc\/haproxy\/certs\//g, certificates)
  replace(/server-template ingress- \S+ ingress:8480/, `server ingress-1 ${ingress.host}`)
  replace(/^resolvers names\n(?: {4}.*\n)+/m, '')
  replace(/ resolvers names init-addr none/, '')
  return text
}

export class Haproxy {
  readonly url: string
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, url: string) {
    this.#child = child
    this.url = url
  }

  /** With a certificate it speaks TLS. */
  static async start(folder: string, ingress: string, certificate?: TestCertificate): Promise<Haproxy> {
    const port = await freePort()
    const file = path.join(folder, 'haproxy.cfg')
    const pem = path.join(folder, 'haproxy.pem')
    writeFileSync(pem, certificate === undefined ? '' : certificate.cert + certificate.key)
    writeFileSync(file, configuration(port, new URL(ingress), pem))
    const env = { ...process.env, SALLYPORT_TLS: certificate === undefined ? '' : 'on' }
    const child = spawn('haproxy', ['-db', '-q', '-f', file], { env, stdio: ['ignore', 'ignore', 'ignore'] })
    await once(child, 'spawn').catch(error => {
      throw new Error('the abuse test needs haproxy 2.6 or newer on the path', { cause: error })
    })
    const started = new Haproxy(child, `${certificate === undefined ? 'http' : 'https'}://127.0.0.1:${port}`)
    const deadline = Date.now() + READY_TIMEOUT_MS
    while (!(await started.#answers())) {
      if (child.exitCode !== null || Date.now() > deadline) throw new Error('haproxy did not become ready')
      await sleep(100)
    }
    return started
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    await ended
  }

  async #answers(): Promise<boolean> {
    try {
      return (await send(`${this.url}/health/live`, { method: 'GET' })).status === 200
    } catch {
      return false
    }
  }
}
