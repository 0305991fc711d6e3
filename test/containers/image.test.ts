import assert from 'node:assert/strict'
import { update } from './crm.ts'
import { docker, type Ended, ended, productImage } from './docker.ts'

/** No broker and no registry: the services start all the same, and wait. */
const NOWHERE = [
  ...['-e', 'KAFKA_BROKERS=127.0.0.1:9'],
  ...['-e', 'SCHEMA_REGISTRY_URL=http://127.0.0.1:9'],
  ...['-e', 'CRM_WEBHOOK_SECRET=a secret'],
]
const STOP_GRACE_SECONDS = 20
const LISTENING_TIMEOUT_MS = 30_000

describe('the image', function () {
  this.timeout(30_000)
  let image: string

  before(async function () {
    this.timeout(240_000)
    image = await productImage()
  })

  /** Runs the image once; the container is removed. */
  function run(options: readonly string[], command: readonly string[]): Promise<Ended> {
    return ended('docker', ['run', '--rm', ...options, image, ...command])
  }

  /** What a shell in the image prints. */
  async function shell(script: string): Promise<string> {
    const { code, stdout, stderr } = await run(['--entrypoint', 'sh'], ['-c', script])
    assert.equal(code, 0, stderr)
    return stdout.trim()
  }

  it('runs as a user that is not root and can change nothing of the product', async () => {
    assert.equal(await shell('id -u'), '1000')
    assert.equal(await shell('find /app -writable | head -1'), '')
  })

  it('holds Node.js once, no development packages, and the services outside node_modules', async () => {
    const [paths = '', real = ''] = (
      await shell('ls /app/node_modules | tr "\\n" " "; echo; readlink -f /app/node_modules/@sallyport/core')
    ).split('\n')
    const names = paths.split(' ')
    for (const absent of ['node', 'mocha', 'typescript', 'testcontainers', 'fast-check'])
      assert.ok(!names.includes(absent), absent)
    assert.ok(names.includes('koa'))
    assert.equal(real, '/app/services/core')
  })

  it('names its services when nothing is asked of it', async () => {
    const { code, stdout } = await run([], [])
    assert.equal(code, 0)
    for (const service of ['ingress', 'processor', 'verify'])
      assert.match(stdout, new RegExp(`^  ${service} `, 'm'))
  })

  it('says in one sentence which setting is missing, and exits 1', async () => {
    const noBroker = await run([], ['processor', 'ticket-agent'])
    assert.equal(noBroker.code, 1)
    assert.match(noBroker.stderr, /^.*SP_SETTINGS: .*KAFKA_BROKERS.*\n$/)
    const noSecret = await run([...NOWHERE, '-e', 'CRM_WEBHOOK_SECRET='], ['ingress'])
    assert.equal(noSecret.code, 1)
    assert.match(noSecret.stderr, /^.*SP_SECRET_MISSING: .*CRM_WEBHOOK_SECRET.*\n$/)
  })

  it('verify judges a captured request by the settings in the image', async () => {
    const { body, signature } = update({}, 'a secret')
    const captured = (text: string): Promise<Ended> => {
      const headers = ['-H', `x-webhook-signature: ${text}`, '-H', 'content-type: application/json']
      const script = `printf %s '${body}' | node /app/services/cli/src/main.ts verify -s crm --body - "$@"`
      return run([...NOWHERE, '--entrypoint', 'sh'], ['-c', script, 'sh', ...headers])
    }
    assert.equal((await captured(signature)).code, 0)
    assert.equal((await captured(signature.replace(/^./, first => (first === '0' ? '1' : '0')))).code, 4)
  })

  for (const service of ['ingress', 'processor']) {
    it(`${service} runs on a read-only file system without capabilities, and exits 0 on SIGTERM as process 1`, async function () {
      this.timeout(90_000)
      const hard = ['--read-only', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges:true']
      const id = await docker(['run', '-d', ...hard, ...NOWHERE, image, service])
      try {
        await logged(id, /not ready yet|waiting to start/)
        await docker(['stop', '-t', String(STOP_GRACE_SECONDS), id])
        const state = await docker(['inspect', '--format', '{{.State.ExitCode}} {{.State.OOMKilled}}', id])
        assert.equal(state, '0 false', await docker(['logs', '--tail', '5', id]))
      } finally {
        await docker(['rm', '-f', '-v', id])
      }
    })
  }
})

/** Waits until a container has logged something. */
async function logged(id: string, words: RegExp): Promise<void> {
  for (const deadline = Date.now() + LISTENING_TIMEOUT_MS; ; ) {
    const { stdout, stderr } = await ended('docker', ['logs', id])
    if (words.test(stdout)) return
    if (Date.now() > deadline) throw new Error(`nothing of ${words} in\n${stdout}${stderr}`)
  }
}
