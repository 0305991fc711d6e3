/**
 * Redrive and replay under SIGKILL at every step, the real binary against a real broker. Each run is killed at the next
 * step and the same command is given again, until one run ends: by then the operation has died everywhere. The outputs
 * are counted in the output topic, outside the product's code.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { BINARY, jsonLines } from '../support/cli.ts'
import { Operator } from '../support/operator.ts'
import { settingsFileFor } from '../support/settings-file.ts'

const FAULTS = fileURLToPath(new URL('../support/operation-faults.ts', import.meta.url))
/** Behind the end of an operation, before anybody was told; and when its end was told, before that was noted. */
const REPORT_DEATHS = ['commit-note:after:2', 'open:before:1']
/** Every step of an operation, in an order in which each run comes to the next one. */
const DEATHS = [
  'open:before:1',
  'open:after:1',
  'connect:after:1',
  'take-up:after:1',
  'begin:after:2',
  'lane:after:1',
  'progress:after:1',
  'commit:before:1',
  'commit:after:1',
  'close:before:1',
  'commit-note:before:2',
  ...REPORT_DEATHS,
]
/** A replay is picked by other code and run by the same: these are where what it picked could be lost or sent twice. */
const REPLAY_DEATHS = [
  'open:after:1',
  'lane:after:1',
  'commit:before:1',
  'commit:after:1',
  'close:before:1',
  ...REPORT_DEATHS,
]
const EVENTS = 50

describe('operations that are killed', function () {
  // Each run starts a process, and a busy machine takes its time.
  this.timeout(480_000)
  let operator: Operator

  beforeEach(async () => {
    operator = await Operator.withProcessor()
  })
  afterEach(() => operator.leave())

  /** Gives the command again after each death; returns the operation that the last run finished. */
  async function throughDeaths(
    args: readonly string[],
    deaths: readonly string[],
  ): Promise<{ id: number; handled: number }> {
    for (const death of deaths) {
      const { code, stdout, stderr } = await operator.cli.run([...args, '--rate', '10'], {
        load: FAULTS,
        env: { FAULT: death },
      })
      assert.equal(code, 'SIGKILL', `${death} was not reached: ${stdout}${stderr}`)
    }
    const { code, stdout, stderr } = await operator.cli.run(args)
    assert.equal(code, 0, stderr)
    return JSON.parse(stdout).operation
  }

  it('a redrive that dies at every step sends each dead letter once (O3, O4, W3, W4)', async () => {
    const ids = await operator.deadEvents(EVENTS)
    operator.isBroken = () => false
    const { handled } = await throughDeaths([...operator.args('redrive'), '--yes', '--json'], DEATHS)
    assert.equal(handled, EVENTS)
    assert.deepEqual(await operator.outputIds(EVENTS), ids)
    assert.equal((await operator.own('redrive')).length, EVENTS)
    const left = await operator.dlq('list', '--state', 'dead')
    assert.equal(left.code, 3, left.stdout)
  })

  it('a replay that dies at every step sends each event once, and is a new one when it is asked for again (O4)', async () => {
    operator.isBroken = () => false
    const ids = await operator.append(EVENTS)
    await operator.topics.read(operator.processor.output, () => true, EVENTS)
    const { name } = operator.processor.config
    const config = settingsFileFor(operator.processor)
    const args = ['replay', '--processor', name, '--config', config, '--from', '1h', '--yes', '--json']
    const { id, handled } = await throughDeaths(args, REPLAY_DEATHS)
    assert.equal(handled, EVENTS)
    assert.deepEqual(await operator.outputIds(2 * EVENTS), [...ids, ...ids].sort())
    assert.equal((await operator.own('redrive')).length, EVENTS)
    const again = JSON.parse((await operator.cli.run(args)).stdout).operation
    assert.ok(again.id > id && again.handled === EVENTS)
    assert.equal((await operator.own('redrive')).length, 2 * EVENTS)
  })

  it('a script breaks an agent, lists, mends, redrives, is killed half-way, runs again: one output per event', async () => {
    const ids = await operator.deadEvents(EVENTS)
    const listed = await operator.dlq('list', '--json')
    assert.deepEqual(
      jsonLines(listed.stdout)
        .map(({ id }) => id)
        .sort(),
      ids,
    )
    operator.isBroken = () => false
    const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-script-'))
    const script = path.join(folder, 'mend.sh')
    const dlq = (command: string) =>
      `"${process.execPath}" --no-warnings "${BINARY}" ${operator.args(command).join(' ')} --json`
    const redrive = `${dlq('redrive')} --yes`
    writeFileSync(
      script,
      `set -u
${redrive} --rate 2 > /dev/null 2>&1 &
runner=$!
until ${dlq('list')} --state waiting > /dev/null 2>&1; do kill -0 $runner || exit 9; done
kill -KILL $runner || exit 9
wait $runner 2>/dev/null
${redrive} || [ $? = 3 ]
`,
    )
    const child = spawn('sh', [script], { env: operator.cli.env, stdio: ['ignore', 'ignore', 'inherit'] })
    const [code] = await once(child, 'close')
    assert.equal(code, 0)
    assert.deepEqual(await operator.outputIds(EVENTS), ids)
  })
})
