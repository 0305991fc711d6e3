/** The line as containers on a network of its own: broker, registry, ingresses, processors and a load balancer. */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from '@sallyport/core/connection'
import { KafkaContainer } from '@testcontainers/kafka'
import kafkajs from 'kafkajs'
import {
  GenericContainer,
  Network,
  type StartedNetwork,
  type StartedTestContainer,
  Wait,
} from 'testcontainers'
import { FIRST_CERTIFICATE } from '../support/tls-certificates.ts'
import { CRM_SECRET } from './crm.ts'
import { docker, KAFKA_IMAGE, loadBalancerImage, productImage, REGISTRY_IMAGE, ROOT } from './docker.ts'

export const PARTITIONS = 4
export const OUTPUT = 'sallyport.agent-events'
export const TIERS = ['sallyport.ticket-agent.retry.1', 'sallyport.ticket-agent.retry.2']
export const DEAD_LETTER = 'sallyport.ticket-agent.dead-letter'
/** The certificate authority of the load balancer. */
export const AUTHORITY = FIRST_CERTIFICATE.cert

const GROUP = 'sallyport.ticket-agent'
const CRM_SOURCE = `
    scheme: { header: X-Webhook-Signature, algorithm: hmac-sha256, encoding: hex }
    secrets: ['\${env:CRM_WEBHOOK_SECRET}']
    timestamp: '$.timestamp'
    required: ['$.agent_id', '$.status']
    type: '$.status'
`
const SETTINGS = `
topics: { partitions: ${PARTITIONS} }
ingress:
  trustedProxies: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16]
sources:
  crm: ${CRM_SOURCE}
  crm-office: ${CRM_SOURCE}
    allowFrom: [203.0.113.0/24]
processing: { sessionTimeout: 6s, transactionTimeout: 5s }
processors:
  - module: ../services/agents/src/ticket-agent.ts
    retry: [500ms, 1s]
    concurrency: 4
    settings: { work: 200ms }
`
/** Marks the containers of one run, so that all are found again, those that failed to start as well. */
const RUN_LABEL = 'dev.sallyport.test'
const JOIN_TIMEOUT_MS = 60_000
const LOG_TIMEOUT_MS = 5_000
const CLOSE_TIMEOUT_MS = 10_000

export class Line {
  readonly ingresses: StartedTestContainer[] = []
  readonly processors: StartedTestContainer[] = []
  readonly #run = randomUUID()
  #network: StartedNetwork | undefined
  #loadBalancer: StartedTestContainer | undefined
  #connection: Connection | undefined
  #image = ''

  /** Where a client on this machine finds Kafka and the registry. */
  get connection(): Connection {
    if (this.#connection === undefined) throw new Error('the line is not started')
    return this.#connection
  }

  get loadBalancer(): StartedTestContainer {
    if (this.#loadBalancer === undefined) throw new Error('the line has no load balancer')
    return this.#loadBalancer
  }

  /** Two ingresses, two processors and a load balancer, all at once. After a failure, too, `stop` is to be called. */
  async start(): Promise<void> {
    try {
      await this.#startAll()
    } catch (error) {
      console.error(await this.logs())
      throw error
    }
  }

  async #startAll(): Promise<void> {
    const [image, network, proxyImage] = await Promise.all([
      productImage(),
      new Network().start(),
      loadBalancerImage(),
    ])
    this.#image = image
    this.#network = network
    const [kafka, registry] = await Promise.all([this.#startKafka(), this.#startRegistry()])
    this.#connection = {
      brokers: [`${kafka.getHost()}:${kafka.getMappedPort(9093)}`],
      registryUrl: `http://${registry.getHost()}:${registry.getMappedPort(8080)}/apis/ccompat/v7`,
    }
    await Promise.all([
      this.startIngress(),
      this.startIngress(),
      this.startProcessor(),
      this.startProcessor(),
      this.#startLoadBalancer(proxyImage),
    ])
    await this.members(2)
  }

  async startIngress(): Promise<StartedTestContainer> {
    const container = await this.#service('ingress')
      .withNetworkAliases('ingress')
      .withExposedPorts(8480)
      .withWaitStrategy(Wait.forHttp('/health/ready', 8480))
      .start()
    this.ingresses.push(container)
    return container
  }

  async startProcessor(): Promise<StartedTestContainer> {
    const container = await this.#service('processor', 'ticket-agent').start()
    this.processors.push(container)
    return container
  }

  /** Where an ingress takes a source's deliveries. */
  url(ingress: StartedTestContainer, source = 'crm'): string {
    return `http://${ingress.getHost()}:${ingress.getMappedPort(8480)}/webhooks/${source}`
  }

  /** Where the load balancer does. */
  publicUrl(source = 'crm'): string {
    return `https://localhost:${this.loadBalancer.getMappedPort(8443)}/webhooks/${source}`
  }

  /** Waits until the processor's group is stable with so many members; gives each one's partitions of the events. */
  async members(count: number): Promise<number[][]> {
    const kafka = new kafkajs.Kafka({
      brokers: [...this.connection.brokers],
      logLevel: kafkajs.logLevel.NOTHING,
    })
    const admin = kafka.admin()
    await admin.connect()
    try {
      for (const deadline = Date.now() + JOIN_TIMEOUT_MS; ; ) {
        const { groups } = await admin.describeGroups([GROUP])
        const { state, members = [] } = groups[0] ?? {}
        if (state === 'Stable' && members.length === count) return members.map(partitionsOf)
        if (Date.now() > deadline) throw new Error(`${GROUP} is ${state} with ${members.length} members`)
        await sleep(250)
      }
    } finally {
      await admin.disconnect()
    }
  }

  /** Which ingresses the load balancer's log names, oldest delivery first, as soon as there are so many. */
  async served(count: number): Promise<string[]> {
    for (const deadline = Date.now() + LOG_TIMEOUT_MS; ; await sleep(50)) {
      const log = await docker(['logs', this.loadBalancer.getId()])
      const lines = [...log.matchAll(/ ingresses\/(ingress-\d+) .* "POST \/webhooks\/crm /g)]
      if (lines.length >= count || Date.now() > deadline) return lines.map(([, name]) => name as string)
    }
  }

  /** Ends a container without warning. */
  async kill(container: StartedTestContainer): Promise<void> {
    await docker(['kill', '-s', 'KILL', container.getId()])
  }

  /** Waits until an ingress takes no more connections. */
  async closed(ingress: StartedTestContainer): Promise<void> {
    const url = `http://${ingress.getHost()}:${ingress.getMappedPort(8480)}/health/live`
    for (const deadline = Date.now() + CLOSE_TIMEOUT_MS; ; ) {
      const open = await fetch(url, { headers: { connection: 'close' } }).then(
        () => true,
        () => false,
      )
      if (!open) return
      if (Date.now() > deadline) throw new Error('the ingress still takes connections')
      await sleep(20)
    }
  }

  /** What `docker stop` does with a container; gives its exit code. */
  async stopGently(container: StartedTestContainer, graceSeconds: number): Promise<number> {
    await docker(['stop', '-t', String(graceSeconds), container.getId()])
    return Number(await docker(['inspect', '--format', '{{.State.ExitCode}}', container.getId()]))
  }

  /** The last lines of every container's log. */
  async logs(lines = 15): Promise<string> {
    const ids = await this.#containers()
    const texts = ids.map(async id => {
      const name = await docker([
        'inspect',
        '--format',
        '{{.Config.Image}} {{json .Args}} {{.State.Status}}',
        id,
      ])
      return `--- ${name}\n${await docker(['logs', '--tail', String(lines), id])}`
    })
    return (await Promise.all(texts)).join('\n')
  }

  /** Removes every container and the network; can be called whatever happened before. */
  async stop(): Promise<void> {
    const ids = await this.#containers()
    if (ids.length > 0) await docker(['rm', '-f', '-v', ...ids])
    await this.#network?.stop()
  }

  async #containers(): Promise<string[]> {
    const ids = await docker(['ps', '-aq', '--no-trunc', '--filter', `label=${RUN_LABEL}=${this.#run}`])
    return ids.split('\n').filter(id => id !== '')
  }

  #startKafka(): Promise<StartedTestContainer> {
    return this.#placed(new KafkaContainer(KAFKA_IMAGE).withKraft(), 'kafka')
      .withEnvironment({
        KAFKA_AUTO_CREATE_TOPICS_ENABLE: 'false',
        KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: '1',
        KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR: '1',
        KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR: '1',
      })
      .start()
  }

  #startRegistry(): Promise<StartedTestContainer> {
    return this.#placed(new GenericContainer(REGISTRY_IMAGE), 'registry')
      .withExposedPorts(8080)
      .withWaitStrategy(Wait.forHttp('/health/ready', 8080))
      .withStartupTimeout(90_000)
      .start()
  }

  async #startLoadBalancer(image: string): Promise<void> {
    this.#loadBalancer = await this.#placed(new GenericContainer(image), 'load-balancer')
      .withEnvironment({ SALLYPORT_TLS: 'on' })
      .withCopyContentToContainer([
        {
          content: readFileSync(path.join(ROOT, 'deploy/load-balancer/haproxy.cfg')),
          target: '/usr/local/etc/haproxy/haproxy.cfg',
        },
        {
          content: FIRST_CERTIFICATE.cert + FIRST_CERTIFICATE.key,
          target: '/etc/haproxy/certs/site.pem',
        },
      ])
      .withExposedPorts(8443)
      .start()
  }

  #service(...command: string[]): GenericContainer {
    return this.#placed(new GenericContainer(this.#image))
      .withCommand(command)
      .withCopyContentToContainer([{ content: SETTINGS, target: '/app/config/sallyport.yaml' }])
      .withEnvironment({
        KAFKA_BROKERS: 'kafka:9092',
        SCHEMA_REGISTRY_URL: 'http://registry:8080/apis/ccompat/v7',
        CRM_WEBHOOK_SECRET: CRM_SECRET,
      })
  }

  #placed<T extends GenericContainer>(container: T, ...aliases: string[]): T {
    if (this.#network === undefined) throw new Error('the network comes first')
    container.withLabels({ [RUN_LABEL]: this.#run }).withNetwork(this.#network)
    return aliases.length === 0 ? container : container.withNetworkAliases(...aliases)
  }
}

function partitionsOf({ memberAssignment }: kafkajs.MemberDescription): number[] {
  const decoded = kafkajs.AssignerProtocol.MemberAssignment.decode(memberAssignment)
  return [...(decoded?.assignment['sallyport.events'] ?? [])].sort((a, b) => a - b)
}
