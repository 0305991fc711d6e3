/** `sallyport send` as the real binary, against a running ingress and processor. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { createLog } from '@sallyport/core/log'
import { loadSettings } from '@sallyport/core/settings'
import { type RunningProcessors, startProcessors } from '@sallyport/processor/main'
import { writeDevFile } from 'sallyport/start/dev-file'
import { PROJECT_FOLDER } from 'sallyport/start/home'
import { Cli, jsonLines } from '../support/cli.ts'
import { type TestIngress, testIngress } from '../support/ingress.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

describe('sallyport send', function () {
  this.timeout(90_000)
  // Inside the project, where a module finds its packages.
  const folder = path.join(PROJECT_FOLDER, `.sallyport/send-${process.pid}`)
  const processor = `send-${randomBytes(4).toString('hex')}`
  let connection: Awaited<ReturnType<typeof sharedCluster>>
  let ingress: TestIngress
  let processors: RunningProcessors

  before(async () => {
    connection = await sharedCluster()
    mkdirSync(folder, { recursive: true })
    ingress = await testIngress(
      connection,
      `sources: { SOURCE: { preset: github, secrets: ['\${file:FOLDER/secret}'] } }\nprocessors: [${folder}/agent.ts]\n`,
    )
    await ingress.ready
    writeFileSync(
      path.join(folder, 'agent.ts'),
      `import { defineProcessor } from '@sallyport/processor'
export default defineProcessor({
  name: '${processor}',
  sources: ['${ingress.source}'],
  retry: ['200ms'],
  handler(_event, { attempt }) {
    if (attempt === 1) throw new Error('not yet\\u001b[2J')
  },
})
`,
    )
    const log = createLog('test')
    log.level = 'silent'
    processors = await startProcessors(loadSettings(config(), {}), connection, log)
    await processors.ready
    const { brokers, registryUrl } = connection
    writeDevFile(ingress.folder, { ingress: ingress.url, brokers, registry: registryUrl, pid: process.pid })
  })
  after(async () => {
    await processors.drain(2_000)
    await ingress.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  function config(): string {
    return path.join(ingress.folder, 'sallyport.yaml')
  }

  async function send(...args: string[]) {
    const cli = new Cli(connection, { SALLYPORT_HOME: ingress.folder })
    return await cli.run(['send', ingress.source, ...args])
  }

  it('signs as the source’s sender does, and follows the event through its retry to its end', async () => {
    const { code, stdout, stderr } = await send('--config', config(), '--json')
    assert.equal(code, 0, stderr)
    const [answer, ...steps] = jsonLines(stdout)
    assert.equal(answer?.status, 200)
    assert.deepEqual(
      steps.map(({ eventId, kind, attempt }) => ({ eventId, kind, attempt })),
      [
        { eventId: answer?.id, kind: 'retry', attempt: 1 },
        { eventId: answer?.id, kind: 'processed', attempt: 2 },
      ],
    )
    assert.ok(steps.every(({ traceId }) => traceId === answer?.trace))
  })

  it('tells people the same, and what a handler threw does not steer their terminal', async () => {
    const { code, stdout } = await send('--config', config())
    assert.equal(code, 0)
    assert.match(stdout, /failed, retry 1 of 1 in 200ms: not yet/)
    assert.match(stdout, /1 accepted: 1 processed, 0 in the dead letter/)
    assert.ok(!stdout.includes('\u001b[2J'))
  })

  it('sends the bytes of a file with headers of one’s own', async () => {
    const body = path.join(folder, 'push.json')
    writeFileSync(body, `{ "pushed":  "${randomBytes(8).toString('hex')}" }\n`)
    const args = ['--file', body, '-H', 'X-GitHub-Event: push', '--no-follow', '--json']
    const first = await send('--config', config(), ...args)
    assert.equal(first.code, 0, first.stderr)
    const again = await send('--config', config(), ...args)
    // The id is a digest of the signed bytes: the same file is the same event.
    assert.deepEqual(
      jsonLines(again.stdout).map(({ id }) => id),
      jsonLines(first.stdout).map(({ id }) => id),
    )
  })

  it('sends many at a rate, and tells the sum', async () => {
    const { code, stdout } = await send('--config', config(), '--count', '200', '--rate', '400')
    assert.equal(code, 0)
    assert.match(stdout, /^ {2}200: 200$/m)
  })

  it('ends with 1 and shows the answer where the ingress refuses the signature', async () => {
    const other = path.join(folder, 'sallyport.yaml')
    writeFileSync(path.join(folder, 'secret'), 'another secret')
    writeFileSync(
      other,
      `window: 3d\nsources: { ${ingress.source}: { preset: github, secrets: ['\${file:${folder}/secret}'] } }\n`,
    )
    const { code, stdout } = await send('--config', other, '--json', '--no-follow')
    assert.equal(code, 1)
    const [answer] = jsonLines(stdout)
    assert.equal(answer?.status, 401)
    assert.match(String(answer?.answer), /wrong-signature/)
  })

  it('names the sources that there are where it does not know one, and says when nothing runs', async () => {
    const unknown = await send('--config', path.join(PROJECT_FOLDER, 'sallyport.yaml'))
    assert.equal(unknown.code, 1)
    assert.match(unknown.stderr, /SP_SETTINGS: .* has no source .*; it has: crm/)
    const nobody = await send('--config', config(), '--ingress', 'http://127.0.0.1:9')
    assert.equal(nobody.code, 1)
    assert.match(nobody.stderr, /SP_NOT_RUNNING: .*check that the ingress runs/)
  })
})
