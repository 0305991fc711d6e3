/** A registry for unit tests: it reads, and answers in Confluent's words. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { NO_SCHEMA } from './registry-proxy.ts'

/** `schemas`: id → the text of the schema. */
export async function startFakeRegistry(
  schemas: ReadonlyMap<number, string>,
): Promise<{ url: string; stop(): void }> {
  const server = createServer((request, response) => {
    const schema = schemas.get(Number(/^\/schemas\/ids\/(\d+)$/.exec(request.url ?? '')?.[1]))
    if (request.url === '/subjects') response.end(JSON.stringify(schemas.size === 0 ? [] : ['one']))
    else if (schema === undefined) response.writeHead(NO_SCHEMA.status).end(NO_SCHEMA.body)
    else response.end(JSON.stringify({ schema }))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop() {
      server.closeAllConnections()
      server.close()
    },
  }
}
