import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Daemon, runToEnd, startDaemon } from 'sallyport/broker/daemon'
import { KeptAlive } from 'sallyport/broker/kept-alive'
import { processMark } from 'sallyport/start/lock'
import { scratchFolder } from './folder.ts'

const DAEMON_MODULE = new URL('../../../services/cli/src/broker/daemon.ts', import.meta.url)
const nowhere = { write: () => {} }

function shell(script: string, onOrphan?: string): Promise<Daemon> {
  return startDaemon({
    name: 'sleeper',
    command: '/bin/sh',
    args: ['-c', script],
    log: nowhere,
    ...(onOrphan === undefined ? {} : { onOrphan }),
  })
}

async function until(condition: () => boolean): Promise<boolean> {
  for (let i = 0; i < 60; i++) {
    if (condition()) return true
    await sleep(50)
  }
  return false
}

describe('a guarded child', () => {
  it('ends when its parent is killed, even while it is frozen, and its leftovers are removed (G2)', async () => {
    const leftover = join(scratchFolder(), 'orphaned')
    const parent = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `const { startDaemon } = await import(${JSON.stringify(DAEMON_MODULE)})
         const daemon = await startDaemon({
           name: 'x', command: '/bin/sleep', args: ['60'], log: { write() {} },
           onOrphan: 'touch ${leftover}',
         })
         daemon.signal('SIGSTOP')
         console.log(daemon.pid)`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    const [output] = (await once(parent.stdout, 'data')) as [Buffer]
    const pid = Number(output.toString())
    assert.notEqual(processMark(pid), undefined)
    parent.kill('SIGKILL')
    assert.ok(await until(() => processMark(pid) === undefined))
    assert.ok(await until(() => existsSync(leftover)))
  })

  it('that ends by itself leaves its guard nothing to do (G3)', async () => {
    const leftover = join(scratchFolder(), 'orphaned')
    const daemon = await shell('exit 3', `touch ${leftover}`)
    assert.deepEqual(await daemon.exited, { code: 3, signal: null })
    await sleep(300)
    assert.equal(existsSync(leftover), false)
  })

  it('is asked to stop before it is killed', async () => {
    const willing = await shell('trap "exit 5" TERM; while :; do sleep 0.05; done')
    await sleep(200)
    assert.deepEqual(await willing.stop(5_000), { code: 5, signal: null })
    const unwilling = await shell('trap "" TERM; while :; do sleep 0.05; done')
    await sleep(200)
    assert.deepEqual(await unwilling.stop(200), { code: null, signal: 'SIGKILL' })
    assert.deepEqual(await unwilling.stop(200), { code: null, signal: 'SIGKILL' })
  })

  it('is out of reach of a Ctrl-C in the terminal (G1)', async () => {
    const daemon = await startDaemon({ name: 'x', command: '/bin/sleep', args: ['60'], log: nowhere })
    const group = (await runToEnd('ps', ['-o', 'pgid=', '-p', String(daemon.pid)])).output.trim()
    assert.equal(Number(group), daemon.pid)
    await daemon.stop(1_000)
  })
})

describe('a command that is run to its end', () => {
  it('gives its output and exit code, and 127 when there is no such command', async () => {
    const { code, output } = await runToEnd('/bin/sh', ['-c', 'echo out; echo err >&2; exit 2'])
    assert.equal(code, 2)
    assert.deepEqual(output.trim().split('\n').sort(), ['err', 'out'])
    assert.equal((await runToEnd('no-such-command-here', [])).code, 127)
  })

  it('is killed when its time is up, and when the user wants to stop', async () => {
    assert.equal((await runToEnd('/bin/sleep', ['60'], { timeoutMs: 100 })).late, true)
    const stop = new AbortController()
    setTimeout(() => stop.abort(new Error('enough')), 100)
    await assert.rejects(runToEnd('/bin/sleep', ['60'], { signal: stop.signal }), /enough/)
  })
})

describe('a daemon that is kept alive', () => {
  it('is started again when somebody kills it, and not after it was stopped', async () => {
    const said: string[] = []
    const kept = await KeptAlive.start(
      () => shell('sleep 60'),
      line => said.push(line),
    )
    const first = kept.daemon
    first.signal('SIGKILL')
    assert.ok(await until(() => kept.daemon !== first))
    assert.match(said.join('\n'), /sleeper ended unasked \(SIGKILL\); starting it again/)
    await kept.stop(1_000)
    const second = kept.daemon
    await sleep(800)
    assert.equal(kept.daemon, second)
  })

  it('fails when it cannot be started again', async () => {
    let starts = 0
    const kept = await KeptAlive.start(
      async () => {
        starts += 1
        if (starts > 1) throw new Error('no more')
        return await shell('exit 1')
      },
      () => {},
    )
    await assert.rejects(kept.failed, /no more/)
  })
})
