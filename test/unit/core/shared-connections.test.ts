import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { SharedConnections } from '@sallyport/core/kafka/transactions/shared-connections'

const PER_BROKER = 2
const UNDER_WAY_MAX = 8

describe('the connections that producers share', () => {
  const brokers: { server: Server; sockets: Socket[]; host: string; port: number }[] = []
  let connections: SharedConnections

  async function broker() {
    const sockets: Socket[] = []
    const server = createServer(socket => sockets.push(socket.on('error', () => {}))).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const one = { server, sockets, host: '127.0.0.1', port: (server.address() as AddressInfo).port }
    brokers.push(one)
    return one
  }

  beforeEach(() => {
    connections = new SharedConnections('test', PER_BROKER, 200)
  })

  afterEach(async () => {
    await connections.close()
    for (const { server, sockets } of brokers.splice(0)) {
      for (const socket of sockets) socket.destroy()
      server.close()
    }
  })

  it('are one to a broker while requests follow each other, and no more than the limit, however many there are (C5)', async () => {
    const quiet = await broker()
    for (let i = 0; i < 5; i++) await connections.use(quiet, async () => {})
    assert.equal(quiet.sockets.length, 1)
    const busy = await broker()
    const release = Promise.withResolvers<void>()
    let begun = 0
    const all = Array.from({ length: PER_BROKER * UNDER_WAY_MAX }, () =>
      connections.use(busy, () => {
        begun++
        return release.promise
      }),
    )
    while (begun < all.length || busy.sockets.length < PER_BROKER) await new Promise(setImmediate)
    await connections.use(quiet, async () => {})
    release.resolve()
    await Promise.all(all)
    assert.equal(busy.sockets.length, PER_BROKER)
  })

  it('give room in the order in which it was asked for, and refuse what waits longer than a request may take (C6)', async () => {
    const hanging = await broker()
    const held = Array.from({ length: PER_BROKER * UNDER_WAY_MAX }, () => Promise.withResolvers<void>())
    const all = held.map(({ promise }) => connections.use(hanging, () => promise))
    const begun: number[] = []
    const waiting = [1, 2].map(n =>
      connections.use(hanging, async () => {
        begun.push(n)
      }),
    )
    held[0]?.resolve()
    await Promise.all(waiting)
    assert.deepEqual(begun, [1, 2])
    const keeping = Promise.withResolvers<void>()
    const last = connections.use(hanging, () => keeping.promise)
    await assert.rejects(
      connections.use(hanging, async () => {}),
      /too much is under way/,
    )
    keeping.resolve()
    for (const { resolve } of held) resolve()
    await Promise.all([...all, last])
  })

  it('to a broker that hangs hold up nothing that another one is asked (C7)', async () => {
    const [hanging, other] = [await broker(), await broker()]
    const release = Promise.withResolvers<void>()
    const stuck = Array.from({ length: 50 }, () => connections.use(hanging, () => release.promise))
    for (const one of stuck) one.catch(() => {})
    assert.equal(await connections.use(other, async () => 'answered'), 'answered')
    release.resolve()
    await Promise.allSettled(stuck)
  })
})
