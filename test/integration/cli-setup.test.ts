/** The commands that look at a cluster and set it up, run as the real binary on a real broker and registry. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { parseSchema } from '@sallyport/core/codec'
import { createRegistry } from '@sallyport/core/kafka/registry'
import { PROJECT_FOLDER } from 'sallyport/start/home'
import { Cli } from '../support/cli.ts'
import { PARTITIONS } from '../support/processor.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

interface Finding {
  readonly about: string
  readonly state: string
  readonly text: string
  readonly code?: string
}

describe('commands that set a cluster up', function () {
  this.timeout(90_000)
  // Inside the project, where a module finds its packages.
  const folder = path.join(PROJECT_FOLDER, `.sallyport/setup-${process.pid}`)
  let connection: { brokers: readonly string[]; registryUrl: string }

  before(async () => {
    connection = await sharedCluster()
    mkdirSync(folder, { recursive: true })
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  /** Settings with a processor of its own, whose topics and schemas do not exist yet. */
  function newSettings(): { config: string; output: string } {
    const name = `setup-${randomBytes(4).toString('hex')}`
    const output = `sallyport.${name}.out`
    writeFileSync(
      path.join(folder, `${name}.ts`),
      `import { defineProcessor } from '@sallyport/processor'
export default defineProcessor({ name: '${name}', outputs: { '${output}': 'agent-event.v1' }, handler() {} })
`,
    )
    const config = path.join(folder, `${name}.yaml`)
    writeFileSync(
      config,
      `topics: { partitions: ${PARTITIONS} }
sources: { crm: { preset: generic, secrets: ['\${env:SETUP_SECRET}'] } }
processors: [{ module: ./${name}.ts }]
`,
    )
    return { config, output }
  }

  async function sallyport(config: string, ...args: string[]) {
    return await new Cli(connection, { SETUP_SECRET: 'secret' }).run([...args, '--config', config])
  }

  it('topics plan tells what apply will do and does nothing; apply does it, and the next plan is empty', async () => {
    const { config, output } = newSettings()
    const planned = await sallyport(config, 'topics', 'plan', '--json')
    assert.equal(planned.code, 4, planned.stderr)
    const created = (JSON.parse(planned.stdout) as { topic: string; setting: null }[]).map(
      ({ topic }) => topic,
    )
    assert.ok(created.includes(output))
    const again = await sallyport(config, 'topics', 'plan')
    assert.equal(again.code, 4)
    assert.match(again.stdout, new RegExp(`${output} +create`))
    const applied = await sallyport(config, 'topics', 'apply')
    assert.equal(applied.code, 0, applied.stderr)
    const after = await sallyport(config, 'topics', 'plan', '--json')
    assert.deepEqual([after.code, JSON.parse(after.stdout)], [0, []])
  })

  it('schemas check tells what is new and what is registered; an incompatible one is a finding with the reason', async () => {
    const { config, output } = newSettings()
    const subject = `${output}-value`
    const stateOf = (stdout: string) =>
      (JSON.parse(stdout) as { subject: string; state: string }[]).find(one => one.subject === subject)?.state
    const before = await sallyport(config, 'schemas', 'check', '--json')
    assert.deepEqual([before.code, stateOf(before.stdout)], [0, 'new'])
    assert.equal((await sallyport(config, 'schemas', 'register')).code, 0)
    const after = await sallyport(config, 'schemas', 'check', '--json')
    assert.deepEqual([after.code, stateOf(after.stdout)], [0, 'registered'])

    const other = newSettings()
    const foreign = { type: 'record', name: 'Foreign', fields: [{ name: 'eventId', type: 'int' }] }
    await createRegistry(connection.registryUrl).register(
      `${other.output}-value`,
      parseSchema(JSON.stringify(foreign)),
    )
    const refused = await sallyport(other.config, 'schemas', 'check')
    assert.equal(refused.code, 4)
    assert.match(refused.stdout, new RegExp(`${other.output}-value .*refused`))
  })

  it('doctor looks at everything, and says what to do about each finding', async () => {
    const { config } = newSettings()
    const { code, stdout, stderr } = await sallyport(config, 'doctor', '--json')
    assert.equal(code, 4, stderr)
    const findings = new Map((JSON.parse(stdout) as Finding[]).map(finding => [finding.about, finding]))
    for (const about of ['node', config, 'source crm', 'kafka', 'clock', 'registry'])
      assert.equal(findings.get(about)?.state, 'ok', `${about}: ${findings.get(about)?.text}`)
    assert.match(findings.get('brokers')?.text ?? '', /1 broker answers.*production wants 3/)
    assert.match(findings.get('topics')?.text ?? '', /are not there yet.*topics apply/)
  })

  it('doctor without brokers and registry ends with findings, not with a wait or a stack', async () => {
    const { config } = newSettings()
    connection = { brokers: ['127.0.0.1:9'], registryUrl: 'http://127.0.0.1:9' }
    try {
      const { code, stdout } = await sallyport(config, 'doctor', '--json')
      assert.equal(code, 4)
      const codes = (JSON.parse(stdout) as Finding[]).map(finding => finding.code)
      assert.ok(codes.includes('SP_BROKER_UNREACHABLE') && codes.includes('SP_REGISTRY_UNREACHABLE'), stdout)
    } finally {
      connection = await sharedCluster()
    }
  })

  it('doctor asks brokers and registry also where a processor does not load', async () => {
    const { config } = newSettings()
    writeFileSync(config.replace(/yaml$/, 'ts'), 'throw new Error("broken")\n')
    const doctor = async () => {
      const { stdout } = await sallyport(config, 'doctor', '--json')
      const findings = JSON.parse(stdout) as Finding[]
      return (about: string) => findings.find(finding => finding.about === about)
    }
    const alive = await doctor()
    assert.equal(alive('processors')?.code, 'SP_PROCESSOR')
    assert.match(alive('topics')?.text ?? '', /those of the processors are not known/)
    assert.equal(alive('registry')?.state, 'ok')
    connection = { ...connection, registryUrl: 'http://127.0.0.1:9' }
    try {
      assert.equal((await doctor())('registry')?.code, 'SP_REGISTRY_UNREACHABLE')
    } finally {
      connection = await sharedCluster()
    }
  })
})
