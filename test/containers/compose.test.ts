import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CRM_SECRET, hangUp, inParallel, post, updates } from './crm.ts'
import { docker, type Ended, ended, loadBalancerImage, productImage, ROOT } from './docker.ts'

const FOLDER = path.join(ROOT, 'deploy')
const UP_TIMEOUT_MS = 150_000
const WAIT_MS_MAX = 60_000

/** Counts the records of a topic by key, with nothing of the product but the library that it brings. */
const COUNT_BY_KEY = `
  import kafkajs from 'kafkajs'
  const kafka = new kafkajs.Kafka({ brokers: ['kafka:9092'], logLevel: 0 })
  const admin = kafka.admin()
  await admin.connect()
  const ends = await admin.fetchTopicOffsets('sallyport.agent-events')
  await admin.disconnect()
  const counts = {}
  const unread = new Set(ends.filter(({ low, high }) => low !== high).map(({ partition }) => partition))
  const consumer = kafka.consumer({ groupId: 'count-' + Date.now(), maxWaitTimeInMs: 100 })
  const end = () => { console.log(JSON.stringify(counts)); process.exit(0) }
  if (unread.size === 0) end()
  setTimeout(end, 10_000)
  await consumer.connect()
  await consumer.subscribe({ topic: 'sallyport.agent-events', fromBeginning: true })
  await consumer.run({ autoCommit: false, eachBatch: async ({ batch }) => {
    for (const { key } of batch.messages) counts[key] = (counts[key] ?? 0) + 1
    const last = Number(batch.lastOffset())
    // A transaction's marker, which is no record, stands at the very end.
    if (last >= Number(ends.find(({ partition }) => partition === batch.partition).high) - 2) unread.delete(batch.partition)
    if (unread.size === 0) end()
  } })
`

describe('deploy/compose.yaml', function () {
  this.timeout(60_000)
  const project = `sallyport-test-${randomBytes(4).toString('hex')}`
  const scratch = mkdtempSync(path.join(tmpdir(), 'sallyport-compose-'))
  // Whoever runs the tests may have a .env beside compose.yaml.
  const isolated = ['--env-file', path.join(scratch, 'none.env')]
  let env: NodeJS.ProcessEnv
  let up = false

  before(async function () {
    this.timeout(240_000)
    if ((await composeCommand()) === undefined) {
      if (process.env.CI === 'true') throw new Error('neither docker compose nor docker-compose is here')
      this.skip()
    }
    writeFileSync(path.join(scratch, 'none.env'), '')
    const [image, loadBalancer] = await Promise.all([productImage(), loadBalancerImage()])
    env = {
      ...process.env,
      SALLYPORT_IMAGE: image,
      SALLYPORT_HAPROXY_IMAGE: loadBalancer,
      SALLYPORT_HTTP_ADDRESS: '127.0.0.1:0',
      CRM_WEBHOOK_SECRET: CRM_SECRET,
    }
  })

  afterEach(async function () {
    if (up && this.currentTest?.state === 'failed') console.error((await compose('logs', '--tail=15')).stdout)
  })

  after(async function () {
    this.timeout(120_000)
    hangUp()
    if (up) await compose('down', '--volumes', '--timeout', '1')
    rmSync(scratch, { recursive: true, force: true })
  })

  /** Runs `docker compose` on a stack that is this run's own. */
  async function compose(...args: string[]): Promise<Ended> {
    const [command, ...first] = (await composeCommand()) as [string, ...string[]]
    return ended(command, [...first, ...isolated, '-p', project, ...args], {
      env,
      cwd: FOLDER,
      timeoutMs: UP_TIMEOUT_MS,
    })
  }

  async function containers(service: string): Promise<string[]> {
    const { stdout } = await compose('ps', '-q', service)
    return stdout.split('\n').filter(id => id !== '')
  }

  /** How many outputs each event has. */
  async function outputs(): Promise<Record<string, number>> {
    const args = ['exec', '-T', 'processor', 'node', '--input-type=module', '--eval', COUNT_BY_KEY]
    const { code, stdout, stderr } = await compose(...args)
    assert.equal(code, 0, stderr)
    return JSON.parse(stdout) as Record<string, number>
  }

  it('does not start without the secret, and says which variable to set', async () => {
    const { CRM_WEBHOOK_SECRET, ...without } = env
    const [command, ...first] = (await composeCommand()) as [string, ...string[]]
    const { code, stderr } = await ended(command, [...first, ...isolated, 'config'], {
      env: without,
      cwd: FOLDER,
    })
    assert.notEqual(code, 0)
    assert.match(stderr, /CRM_WEBHOOK_SECRET/)
  })

  it('opens an HTTPS port with compose.tls.yaml, and wants a certificate for it', async () => {
    const files = ['-f', 'compose.yaml', '-f', 'compose.tls.yaml', 'config']
    assert.match((await compose(...files)).stderr, /SALLYPORT_CERTIFICATE/)
    env.SALLYPORT_CERTIFICATE = '/certificate.pem'
    const { code, stdout, stderr } = await compose(...files)
    assert.equal(code, 0, stderr)
    assert.match(stdout, /8443/)
    assert.match(stdout, /\/certificate\.pem/)
  })

  it('the load balancer takes its configuration with and without the PROXY protocol', async () => {
    const config = `${path.join(FOLDER, 'load-balancer')}:/usr/local/etc/haproxy:ro`
    for (const proxy of ['', 'on']) {
      const options = ['--rm', '-e', `SALLYPORT_PROXY=${proxy}`, '-v', config, '--entrypoint', 'haproxy']
      await docker([
        'run',
        ...options,
        await loadBalancerImage(),
        '-c',
        '-f',
        '/usr/local/etc/haproxy/haproxy.cfg',
      ])
    }
  })

  it('one command brings the line up, and deliveries through the load balancer take effect once though an ingress is killed', async function () {
    this.timeout(UP_TIMEOUT_MS + WAIT_MS_MAX)
    up = true
    const started = await compose('up', '-d', '--no-build')
    assert.equal(started.code, 0, started.stderr)
    const { stdout: address } = await compose('port', 'load-balancer', '8480')
    const url = `http://${address.trim()}/webhooks/crm`
    const [first] = await containers('ingress')
    const answers = await inParallel(updates(60), 8, async (one, i) => {
      if (i === 20) await docker(['kill', '-s', 'KILL', first as string])
      return post(url, one)
    })
    assert.deepEqual(
      answers.filter(({ status }) => status !== 200).map(({ body }) => body),
      [],
    )
    const wanted = Object.fromEntries(answers.map(({ id }) => [id, 1]))
    let found: Record<string, number> = {}
    for (const deadline = Date.now() + WAIT_MS_MAX; Date.now() < deadline; await sleep(500)) {
      found = await outputs()
      if (Object.keys(found).length >= answers.length) break
    }
    assert.deepEqual(found, wanted)
  })

  it('the load balancer publishes the deliveries’ paths and /health/live, and nothing else', async () => {
    const { stdout: address } = await compose('port', 'load-balancer', '8480')
    const statuses: number[] = []
    for (const target of ['/health/live', '/health/ready', '/metrics', '/']) {
      statuses.push((await fetch(`http://${address.trim()}${target}`)).status)
    }
    assert.deepEqual(statuses, [200, 404, 404, 404])
  })

  it('events are found from the index’s container, and from any other, though it can write nothing but /tmp', async function () {
    this.timeout(120_000)
    const list = ['events', 'list', '--json', '--limit', '5']
    const kept = await compose('exec', '-T', 'index', 'sallyport', ...list)
    const fresh = await compose('run', '--rm', '-T', 'processor', ...list)
    for (const { code, stdout, stderr } of [kept, fresh]) {
      assert.equal(code, 0, stderr)
      assert.equal((JSON.parse(stdout) as { events: unknown[] }).events.length, 5, stdout)
    }
    const file = await compose('exec', '-T', 'index', 'sh', '-c', 'ls /var/lib/sallyport/index/*.db')
    assert.equal(file.code, 0, file.stderr)
  })

  it('a neighbour of the line can scrape the metrics of ingress and processor', async () => {
    for (const [url, metric] of [
      ['http://ingress:9480/metrics', /^sallyport_ingress_/m],
      ['http://processor:9481/metrics', /^sallyport_/m],
    ] as const) {
      const script = `console.log(await (await fetch('${url}')).text())`
      const { code, stdout, stderr } = await compose(
        'exec',
        '-T',
        'index',
        'node',
        '--input-type=module',
        '--eval',
        script,
      )
      assert.equal(code, 0, stderr)
      assert.match(stdout, metric)
    }
  })

  it('only the load balancer has a port on the host, and it is one of the loopback', async () => {
    const ids = (await compose('ps', '-q')).stdout.split('\n').filter(id => id !== '')
    const format =
      '{{range $port, $at := .NetworkSettings.Ports}}{{range $at}}{{$port}} {{.HostIp}};{{end}}{{end}}'
    const published = await Promise.all(ids.map(id => docker(['inspect', '--format', format, id])))
    assert.deepEqual(
      published.filter(text => text !== ''),
      ['8480/tcp 127.0.0.1;'],
    )
  })

  it('stops within its grace periods, the services with exit code 0', async function () {
    this.timeout(120_000)
    const ids = [...(await containers('ingress')).slice(1), ...(await containers('processor'))]
    const { code, stderr } = await compose('stop')
    assert.equal(code, 0, stderr)
    for (const id of ids) assert.equal(await docker(['inspect', '--format', '{{.State.ExitCode}}', id]), '0')
  })
})

let command: Promise<readonly string[] | undefined> | undefined

/** `docker compose` where it is, else the older `docker-compose`. */
function composeCommand(): Promise<readonly string[] | undefined> {
  command ??= (async () => {
    if ((await ended('docker', ['compose', 'version'])).code === 0) return ['docker', 'compose']
    return (await ended('docker-compose', ['version'])).code === 0 ? ['docker-compose'] : undefined
  })()
  return command
}
