import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

const MODULE = new URL('../../chaos/processor/run-folder.ts', import.meta.url)

/** A run in a process of its own that writes a log and ends with a code. */
function run(options: { keeps: boolean; logs?: string }, code: number): { folder: string; output: string } {
  const source = `
    const { RunFolder } = await import(${JSON.stringify(MODULE)})
    const { writeFileSync } = await import('node:fs')
    const folder = new RunFolder(${JSON.stringify(options)})
    writeFileSync(folder.processes + '/p1.log', 'its log')
    writeFileSync(folder.brokers + '/broker-1.log', 'its log')
    console.log('folder ' + folder.path)
    process.exit(${code})`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', source], {
    encoding: 'utf8',
  })
  const folder = /^folder (.+)$/m.exec(stdout)?.[1]
  assert.ok(folder !== undefined, stderr)
  return { folder, output: stdout }
}

describe('the folder of a chaos run', () => {
  it('stays with all that is in it when the run fails, and is told', () => {
    const { folder, output } = run({ keeps: true }, 1)
    try {
      assert.ok(existsSync(path.join(folder, 'processes/p1.log')))
      assert.ok(existsSync(path.join(folder, 'brokers/broker-1.log')))
      assert.ok(output.includes(`everything is kept in ${folder}`))
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('goes when the run is good, and when nothing is to be kept', () => {
    for (const { folder, output } of [run({ keeps: true }, 0), run({ keeps: false }, 1)]) {
      assert.equal(existsSync(folder), false)
      assert.equal(output.includes('kept'), false)
    }
  })

  it('leaves a copy of the processes’ logs where it is asked to', () => {
    const logs = mkdtempSync(path.join(os.tmpdir(), 'sallyport-logs-'))
    try {
      const { folder } = run({ keeps: false, logs }, 0)
      assert.equal(existsSync(folder), false)
      assert.equal(readFileSync(path.join(logs, 'p1.log'), 'utf8'), 'its log')
    } finally {
      rmSync(logs, { recursive: true, force: true })
    }
  })
})
