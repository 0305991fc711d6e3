import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type ErrorCode, SallyportError } from '@sallyport/core/errors'
import { hasMetadata, startFailure } from 'sallyport/broker/diagnose'
import { rememberedClusterId } from 'sallyport/broker/jvm'
import { clusterIdOf, newClusterId, serverProperties } from 'sallyport/broker/kafka-server'
import { settlePort } from 'sallyport/broker/ports'
import { kafkaAnswers, untilReady } from 'sallyport/broker/readiness'
import { checkDisk, checkIngressPort } from 'sallyport/start/preflight'
import { scratchFolder } from './folder.ts'

function hasCode(code: ErrorCode, words: RegExp): (error: unknown) => boolean {
  return error => error instanceof SallyportError && error.code === code && words.test(error.message)
}

/** A port that another program holds, for the time of `use`. */
async function whileTaken(use: (port: number) => Promise<void>): Promise<void> {
  const server = createServer(socket => socket.end('not Kafka'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    await use((server.address() as { port: number }).port)
  } finally {
    server.close()
  }
}

describe('the settings of a broker', () => {
  const node = {
    nodeId: 2,
    dataFolder: '/data',
    port: 1000,
    voters: [1, 2, 3].map(n => ({ nodeId: n, port: n })),
  }

  it('listen on this machine only', () => {
    const listeners = serverProperties(node)
      .split('\n')
      .filter(line => /listeners=|voters=/.test(line))
    assert.deepEqual(listeners, [
      'controller.quorum.voters=1@127.0.0.1:1,2@127.0.0.1:2,3@127.0.0.1:3',
      'listeners=PLAINTEXT://127.0.0.1:1000,CONTROLLER://127.0.0.1:2',
      'advertised.listeners=PLAINTEXT://127.0.0.1:1000',
    ])
  })

  it('have other listeners beside it, whose clients are told another port', () => {
    const moreListeners = [
      { name: 'PROXIED', port: 1001, advertisedPort: 9001 },
      { name: 'BETWEEN', port: 1002, advertisedPort: 9002, isForBrokers: true },
    ]
    const lines = serverProperties({ ...node, moreListeners }).split('\n')
    const listeners = 'PLAINTEXT://127.0.0.1:1000,PROXIED://127.0.0.1:1001,BETWEEN://127.0.0.1:1002'
    assert.ok(lines.includes(`listeners=${listeners},CONTROLLER://127.0.0.1:2`))
    assert.ok(
      lines.includes(`advertised.listeners=${listeners.replaceAll(':100', ':900').replace('9000', '1000')}`),
    )
    assert.ok(lines.includes('inter.broker.listener.name=BETWEEN'))
    assert.ok(serverProperties(node).includes('inter.broker.listener.name=PLAINTEXT\n'))
  })

  it('replicate to as many brokers as there are, up to three', () => {
    assert.match(serverProperties(node), /offsets\.topic\.replication\.factor=3\n/)
    assert.match(serverProperties(node), /transaction\.state\.log\.min\.isr=2\n/)
    const alone = { ...node, nodeId: 1, voters: [{ nodeId: 1, port: 1 }] }
    assert.match(serverProperties(alone), /offsets\.topic\.replication\.factor=1\n/)
    assert.match(serverProperties(alone), /transaction\.state\.log\.min\.isr=1\n/)
  })
})

describe('the data folder of a broker', () => {
  const META = (clusterId: string, nodeId = 1) => `version=1\ncluster.id=${clusterId}\nnode.id=${nodeId}\n`

  function dataFolder(meta?: string): { home: string; node: { nodeId: number; dataFolder: string } } {
    const home = scratchFolder()
    const folder = join(home, 'kafka')
    mkdirSync(folder)
    if (meta !== undefined) writeFileSync(join(folder, 'meta.properties'), meta)
    return { home, node: { nodeId: 1, dataFolder: folder } }
  }

  it('is new without meta.properties, and gets an id that it keeps', () => {
    const { home, node } = dataFolder()
    const made = rememberedClusterId(node, home)
    assert.equal(made.isNew, true)
    assert.match(made.id, /^[\w-]{22}$/)
    writeFileSync(join(node.dataFolder, 'meta.properties'), META(made.id))
    assert.deepEqual(rememberedClusterId(node, home), { id: made.id, isNew: false })
  })

  it('is corrupt with garbage, another broker or another cluster in meta.properties', () => {
    assert.throws(
      () => clusterIdOf(dataFolder('garbage').node),
      hasCode('SP_DATA_CORRUPT', /is not Kafka's.*move/),
    )
    assert.throws(() => clusterIdOf(dataFolder('').node), hasCode('SP_DATA_CORRUPT', /is not Kafka's/))
    const other = dataFolder(META(newClusterId(), 7))
    assert.throws(() => clusterIdOf(other.node), hasCode('SP_DATA_CORRUPT', /another broker/))
    const { home, node } = dataFolder(META(newClusterId()))
    rememberedClusterId(node, home)
    writeFileSync(join(node.dataFolder, 'meta.properties'), META(newClusterId()))
    assert.throws(() => rememberedClusterId(node, home), hasCode('SP_DATA_CORRUPT', /belongs to cluster/))
  })

  it('is corrupt when the record of its topics is gone', () => {
    const { node } = dataFolder(META(newClusterId()))
    assert.throws(
      () => hasMetadata(node.dataFolder),
      hasCode('SP_DATA_CORRUPT', /__cluster_metadata-0 is missing/),
    )
  })
})

describe('a broker that does not start', () => {
  const failed = (line: string, exit = { code: 1, signal: null }) =>
    startFailure({
      name: 'broker',
      exit,
      tail: ['INFO begin', line],
      logPath: '/x/broker.log',
      dataFolder: '/x/kafka',
    })

  // Lines of Apache Kafka 4.4.0, provoked one by one.
  for (const [what, line, code] of [
    [
      'a broken checkpoint',
      'java.io.IOException: Malformed line in checkpoint file [/x]: garbage',
      'SP_DATA_CORRUPT',
    ],
    [
      'a broken quorum state',
      'ERROR x - Error while reading the Quorum status from the file /x',
      'SP_DATA_CORRUPT',
    ],
    [
      'a broken snapshot',
      'ERROR x - [SharedServer id=1] Got exception while starting SharedServer',
      'SP_DATA_CORRUPT',
    ],
    ['a full disk', 'java.io.IOException: No space left on device', 'SP_DISK_FULL'],
    ['a held folder', 'KafkaException: Failed to acquire lock on file .lock in /x', 'SP_ALREADY_RUNNING'],
    ['a taken port', 'java.net.BindException: Address already in use', 'SP_PORT_TAKEN'],
    ['too little memory', 'Error: Could not reserve enough space for object heap', 'SP_BROKER_FAILED'],
    ['something else', 'ERROR kafka.Kafka$ - Exiting Kafka due to fatal exception', 'SP_BROKER_FAILED'],
  ] as const) {
    it(`says what to do about ${what}`, () => {
      const { message } = failed(line)
      assert.equal(failed(line).code, code)
      assert.match(message, /\/x\/broker\.log/)
      assert.match(message, /again|move|free/)
      assert.doesNotMatch(message, /\n/)
    })
  }
})

describe('a port', () => {
  it('that is taken is replaced when nobody named it, and an error that says how to choose another when somebody did', async () => {
    await whileTaken(async port => {
      const wish = { port, name: 'Kafka broker', remedy: '--broker-port' }
      assert.notEqual(await settlePort({ ...wish, named: false }), port)
      await assert.rejects(
        settlePort({ ...wish, named: true }),
        hasCode('SP_PORT_TAKEN', new RegExp(`port ${port} of the Kafka broker .*--broker-port`)),
      )
    })
  })

  it('of the ingress is an error when it is taken, and 0 never is', async () => {
    await whileTaken(async port => {
      await assert.rejects(
        checkIngressPort('127.0.0.1', port),
        hasCode('SP_PORT_TAKEN', new RegExp(`port ${port} of the ingress .*--port`)),
      )
    })
    await checkIngressPort('127.0.0.1', 0)
  })

  it('that is open is no Kafka broker yet', async () => {
    await whileTaken(async port => assert.equal(await kafkaAnswers(port), false))
  })
})

describe('the disk', () => {
  it('is full below the bound, and the error names the bound', async () => {
    const folder = scratchFolder()
    await checkDisk(folder, 1)
    await assert.rejects(
      checkDisk(folder, 10 ** 12),
      hasCode('SP_DISK_FULL', /at least 1000000000000.*--disk-free-min/),
    )
  })
})

describe('waiting for readiness', () => {
  it('ends with the answer, the time, the giving up or the wish to stop', async () => {
    const never = async () => false
    const limits = { timeoutMs: 250, givenUp: () => false }
    assert.equal(await untilReady(async () => true, limits), true)
    assert.equal(await untilReady(never, limits), false)
    assert.equal(await untilReady(never, { timeoutMs: 60_000, givenUp: () => true }), false)
    const signal = AbortSignal.abort(new Error('enough'))
    await assert.rejects(untilReady(never, { ...limits, signal }), /enough/)
  })
})
