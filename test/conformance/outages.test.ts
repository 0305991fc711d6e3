/** What the SDKs of model vendors and clouds throw when their service is down: real packages, a server that is. */
import assert from 'node:assert/strict'
import http from 'node:http'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import Anthropic from '@anthropic-ai/sdk'
import { ListQueuesCommand, SQSClient } from '@aws-sdk/client-sqs'
import { failureOf } from '@sallyport/processor/failure'
import OpenAI from 'openai'

/** Time-outs of the clients, ms. */
const TIMEOUT_MS = 300

/** Calls a service at `url` with as few retries as the client allows. */
type Call = (url: string) => Promise<unknown>

const credentials = { accessKeyId: 'a', secretAccessKey: 'b' }
const messages = [{ role: 'user' as const, content: 'hello' }]

const SDKS: Readonly<Record<string, Call>> = {
  openai: url =>
    new OpenAI({ apiKey: 'k', baseURL: url, maxRetries: 0, timeout: TIMEOUT_MS }).chat.completions.create({
      model: 'm',
      messages,
    }),
  '@anthropic-ai/sdk': url =>
    new Anthropic({ apiKey: 'k', baseURL: url, maxRetries: 0, timeout: TIMEOUT_MS }).messages.create({
      model: 'm',
      max_tokens: 1,
      messages,
    }),
  '@aws-sdk/client-sqs': async url => {
    const client = new SQSClient({
      region: 'eu-west-1',
      endpoint: url,
      credentials,
      maxAttempts: 1,
      requestHandler: {
        requestTimeout: TIMEOUT_MS,
        connectionTimeout: TIMEOUT_MS,
        throwOnRequestTimeout: true,
      },
    })
    return await client.send(new ListQueuesCommand({})).finally(() => client.destroy())
  },
}

async function listening(server: Server): Promise<string> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

describe('an outage, as SDKs throw it', function () {
  this.timeout(20_000)
  const sockets = new Set<Socket>()
  const servers: Server[] = []

  afterEach(() => {
    for (const socket of sockets) socket.destroy()
    for (const server of servers.splice(0)) server.close()
  })

  /** A service whose connections or requests end in one way. */
  async function service(server: Server): Promise<string> {
    servers.push(server)
    server.on('connection', (socket: Socket) => {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    })
    return await listening(server)
  }

  function answering(status: number, body: object, headers: http.OutgoingHttpHeaders = {}): Promise<string> {
    const server = http.createServer((request, response) => {
      request.resume()
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
    })
    return service(server)
  }

  const WAYS: Readonly<Record<string, () => Promise<string>>> = {
    'a connection that is refused': async () => {
      const server = createServer()
      const url = await listening(server)
      await new Promise(resolve => server.close(resolve))
      return url
    },
    'a connection that is reset': () =>
      service(createServer(socket => socket.once('data', () => socket.resetAndDestroy()))),
    'an answer that breaks off': () =>
      service(
        http.createServer((_, response) => {
          response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' })
          response.write('{"a":')
          setTimeout(() => response.destroy(), 20)
        }),
      ),
    'a service that hangs': () => service(createServer()),
    'a name that does not resolve': async () => 'http://nowhere.invalid',
    ...Object.fromEntries(
      [408, 425, 429, 500, 501, 503, 507, 520, 529].map(status => [
        `status ${status}`,
        () => answering(status, { type: 'error', error: { type: 'some_error', message: 'no' } }),
      ]),
    ),
  }

  for (const [sdk, call] of Object.entries(SDKS)) {
    for (const [way, start] of Object.entries(WAYS)) {
      it(`${sdk}: ${way}`, async () => {
        const thrown = await call(await start()).then(
          () => undefined,
          error => error,
        )
        assert.ok(thrown instanceof Error, 'it throws')
        const failure = failureOf(thrown)
        assert.deepEqual([failure.kind, failure.blamesDependency], ['retryable', true], thrown.stack)
      })
    }

    for (const status of [400, 401, 404]) {
      it(`${sdk}: status ${status} blames nobody`, async () => {
        const thrown = await call(
          await answering(status, { error: { type: 'invalid_request_error' } }),
        ).catch(error => error)
        assert.equal(failureOf(thrown).blamesDependency, false)
      })
    }
  }

  it('@aws-sdk/client-sqs: throttling, which comes with status 400', async () => {
    const url = await answering(400, { __type: 'com.amazonaws.sqs#ThrottlingException', message: 'slower' })
    const thrown = await SDKS['@aws-sdk/client-sqs']?.(url).catch(error => error)
    assert.equal(failureOf(thrown).blamesDependency, true, String(thrown))
  })

  it('@anthropic-ai/sdk: an overload within a stream, whose status was 200', async () => {
    const event = { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }
    const server = http.createServer((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.end(`event: error\ndata: ${JSON.stringify(event)}\n\n`)
    })
    const client = new Anthropic({ apiKey: 'k', baseURL: await service(server), maxRetries: 0 })
    const read = async (): Promise<void> => {
      const stream = await client.messages.create({ model: 'm', max_tokens: 1, messages, stream: true })
      for await (const _ of stream);
    }
    const thrown = await read().catch(error => error)
    assert.equal(failureOf(thrown).blamesDependency, true, String(thrown))
  })
})
