/** A registry that can be made to deny everything: what stands before it answers in its place. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What comes instead of the registry's own answer. */
export interface CannedAnswer {
  readonly status: number
  readonly body: string
}

/** A registry's own words for an id that it does not have: Confluent's, Karapace's and Apicurio's alike. */
export const NO_SCHEMA: CannedAnswer = {
  status: 404,
  body: JSON.stringify({ error_code: 40_403, message: 'Schema not found' }),
}

export class RegistryProxy {
  readonly url: string
  /** How many times it denied a schema itself. */
  denied = 0
  readonly #server: Server
  #canned: CannedAnswer | undefined

  private constructor(server: Server) {
    this.#server = server
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  static async start(registryUrl: string): Promise<RegistryProxy> {
    let proxy: RegistryProxy | undefined
    const server = createServer(async (request, response) => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk)
      const canned = proxy?.answerInstead(request.url ?? '/')
      if (canned !== undefined) return void response.writeHead(canned.status).end(canned.body)
      const { method = 'GET', url = '/' } = request
      const headers = { 'content-type': request.headers['content-type'] ?? 'application/json' }
      const body = method === 'GET' ? {} : { body: Buffer.concat(chunks) }
      try {
        const answer = await fetch(registryUrl + url, { method, headers, ...body })
        const text = await answer.text()
        response.writeHead(answer.status, { 'content-type': 'application/json' }).end(text)
      } catch {
        response.writeHead(502).end()
      }
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    proxy = new RegistryProxy(server)
    return proxy
  }

  /** From now on every question gets this answer. */
  answer(canned: CannedAnswer): void {
    this.#canned = canned
  }

  /** The registry answers again. */
  pass(): void {
    this.#canned = undefined
  }

  stop(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }

  private answerInstead(url: string): CannedAnswer | undefined {
    if (this.#canned !== undefined && url.startsWith('/schemas/ids/')) this.denied++
    return this.#canned
  }
}
