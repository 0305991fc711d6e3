/** `sallyport sources learn` and several ingresses, which share nothing but Kafka and the sealing key. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from '@sallyport/core/connection'
import { loadSettings } from '@sallyport/core/settings'
import { type RunningIngress, startIngress } from '@sallyport/ingress/main'
import { Cli, jsonLines, type Running } from '../support/cli.ts'
import { type Answer, keptLog, send, type TestIngress, testIngress } from '../support/ingress.ts'
import { sharedCluster } from '../support/shared-cluster.ts'
import { hmac } from '../support/signed-request.ts'

const SEALING = "sealingKeys: ['${file:FOLDER/secret}']"
const ASANA = `
sources:
  SOURCE: { preset: asana, awaitSecret: true }
`
const BODY = '{"events":[{"action":"changed"}]}'

describe('learning a secret', function () {
  this.timeout(60_000)
  const { log, lines } = keptLog()
  let connection: Connection
  let cli: Cli
  let first: TestIngress
  const others: RunningIngress[] = []

  before(async () => {
    connection = await sharedCluster()
    cli = new Cli(connection)
  })
  beforeEach(async () => {
    first = await testIngress(connection, ASANA, {
      ingress: SEALING,
      log,
      secret: 'the sealing key of all the ingresses here',
    })
    await first.ready
  })
  afterEach(async () => {
    await Promise.all(others.splice(0).map(one => one.drain(1_000)))
    await first.stop()
    lines.length = 0
  })

  /** Another ingress of the same settings. */
  async function another(): Promise<RunningIngress> {
    const ingress = await startIngress(loadSettings(`${first.folder}/sallyport.yaml`, {}), connection, log)
    others.push(ingress)
    await ingress.ready
    return ingress
  }

  const config = () => ['--config', `${first.folder}/sallyport.yaml`]

  /** Opens a window; resolves with the command that waits, and the query of the URL that it printed. */
  async function learn(...more: string[]): Promise<{ command: Running; query: string }> {
    const command = cli.start(['sources', 'learn', first.source, '--json', ...more, ...config()])
    await command.prints('"url"')
    const [line] = jsonLines(command.stdout)
    return { command, query: new URL(String(line?.url)).search }
  }

  /** Hands a secret over, as soon as the ingress knows of the window. */
  function offer({ url }: { url: string }, secret: string, query = ''): Promise<Answer> {
    return send(`${url}/webhooks/${first.source}${query}`, {
      body: '{}',
      headers: { 'X-Hook-Secret': secret },
    })
  }

  /** Hands it over again while the ingress has not read yet that it may. */
  async function handOver(ingress: { url: string }, secret: string, query: string): Promise<Answer> {
    const deadline = Date.now() + 20_000
    for (;;) {
      const answer = await offer(ingress, secret, query)
      if (answer.status !== 401 || Date.now() > deadline) return answer
      await sleep(100)
    }
  }

  async function verifies({ url }: { url: string }, secret: string): Promise<number> {
    const headers = { 'X-Hook-Signature': hmac('sha256', secret, BODY) }
    return (await send(`${url}/webhooks/${first.source}`, { body: BODY, headers })).status
  }

  /** Waits until an ingress answers so to what is signed with a secret. */
  async function until(status: number, ingress: { url: string }, secret: string): Promise<void> {
    const deadline = Date.now() + 20_000
    while ((await verifies(ingress, secret)) !== status) {
      assert.ok(Date.now() < deadline, `it never answers ${status}`)
      await sleep(50)
    }
  }

  /** Until every ingress has read what an operator did. */
  const settled = () => sleep(1_500)

  it('is for every ingress, survives a restart, and strangers get 401 before, meanwhile and after', async () => {
    const second = await another()
    assert.equal((await offer(first, 'a-stranger-was-here')).status, 401)
    const { command, query } = await learn()
    const [early, wrong, genuine] = await Promise.all([
      offer(first, 'a-stranger-was-here'),
      offer(second, 'another-stranger-here', '?learn=guessed'),
      handOver(second, 'the-genuine-hook-secret', query),
    ])
    assert.deepEqual([early?.status, wrong?.status, genuine?.status], [401, 401, 200])
    const ended = await command.ended
    assert.equal(ended.code, 0, ended.stderr)
    assert.equal(jsonLines(ended.stdout)[1]?.learnt, true)
    await until(200, first, 'the-genuine-hook-secret')
    assert.equal(await verifies(second, 'the-genuine-hook-secret'), 200)
    const later = await another()
    await until(200, later, 'the-genuine-hook-secret')
    for (const one of [first, second, later]) {
      assert.equal((await offer(one, 'a-stranger-was-here', query)).status, 401)
      assert.equal(await verifies(one, 'a-stranger-was-here'), 401)
    }
    assert.doesNotMatch(lines.join(''), /the-genuine-hook-secret|a-stranger-was-here|learn=/)
  })

  it('ends with Ctrl-C, and with the time; nothing is learnt then', async () => {
    const { command, query } = await learn()
    await settled()
    command.child.kill('SIGINT')
    assert.equal((await command.ended).code, 'SIGINT')
    await settled()
    assert.equal((await offer(first, 'too-late-for-that', query)).status, 401)
    const short = await learn('--for', '2s')
    assert.equal((await short.command.ended).code, 3)
    assert.equal((await offer(first, 'too-late-for-that', short.query)).status, 401)
  })

  it('shows and forgets what was learnt, and closes what is open', async () => {
    const none = await cli.run(['sources', 'show', first.source, ...config()])
    assert.equal(none.code, 3)
    const { command, query } = await learn('--show')
    assert.equal((await handOver(first, 'the-genuine-hook-secret', query)).status, 200)
    assert.equal(jsonLines((await command.ended).stdout)[1]?.secret, 'the-genuine-hook-secret')
    const shown = await cli.json<{ secret: string; openUntil: null }>([
      'sources',
      'show',
      first.source,
      '--secret',
      ...config(),
    ])
    assert.deepEqual([shown.secret, shown.openUntil], ['the-genuine-hook-secret', null])
    const forgotten = await cli.json<object>(['sources', 'forget', first.source, ...config()])
    assert.deepEqual(forgotten, { source: first.source, forgotten: 1 })
    await until(401, first, 'the-genuine-hook-secret')
    const open = await learn()
    assert.equal((await cli.run(['sources', 'close', first.source, ...config()])).code, 0)
    assert.equal((await open.command.ended).code, 3)
    await settled()
    assert.equal((await offer(first, 'too-late-for-that', open.query)).status, 401)
  })

  it('is refused where it would let anybody in, or the source learns nothing', async () => {
    const open = await cli.run(['sources', 'learn', first.source, '--no-nonce', ...config()])
    assert.equal(open.code, 2)
    assert.match(open.stderr, /--from/)
    assert.equal((await cli.run(['sources', 'learn', first.source, '--from', '1.2.3', ...config()])).code, 2)
    assert.equal((await cli.run(['sources', 'learn', first.source, '--for', '2h', ...config()])).code, 2)
    assert.equal((await cli.run(['sources', 'learn', 'nobody', ...config()])).code, 3)
    const github = await cli.run(['sources', 'learn', 'crm', '--config', 'sallyport.yaml'])
    assert.equal(github.code, 1)
    assert.match(github.stderr, /SP_SETTINGS: sources.crm learns no secret/)
  })
})
