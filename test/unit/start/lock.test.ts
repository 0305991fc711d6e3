import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SallyportError } from '@sallyport/core/errors'
import { lockHolder, processMark, StartLock } from 'sallyport/start/lock'
import { scratchFolder } from './folder.ts'

const LOCK_MODULE = new URL('../../../services/cli/src/start/lock.ts', import.meta.url)
const silent = () => {}

/** Another process that takes the lock of a folder, says `taken` or the error's code, and then does nothing. */
async function taker(home: string): Promise<{ child: ChildProcess; said: string }> {
  const child = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `const { StartLock } = await import(${JSON.stringify(LOCK_MODULE)})
       try {
         await StartLock.acquire(${JSON.stringify(home)}, () => {})
         console.log('taken')
         setInterval(() => {}, 1000)
       } catch (error) { console.log(error.code) }`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const [output] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer]
  return { child, said: output.toString().trim() }
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

describe('the lock of npm start', () => {
  it('refuses a second start in one sentence that names the first', async () => {
    const home = scratchFolder()
    const { child } = await taker(home)
    await assert.rejects(StartLock.acquire(home, silent), (error: unknown) => {
      assert.ok(error instanceof SallyportError)
      assert.equal(error.code, 'SP_ALREADY_RUNNING')
      assert.match(error.message, new RegExp(`process ${child.pid}\\)`))
      return true
    })
    assert.equal(lockHolder(home), child.pid)
    await killed(child)
  })

  it('is taken over from a start that was killed', async () => {
    const home = scratchFolder()
    const { child } = await taker(home)
    await killed(child)
    const lock = await StartLock.acquire(home, silent)
    assert.equal(lockHolder(home), process.pid)
    lock.release()
    assert.equal(lockHolder(home), undefined)
  })

  it('is not held by a later process that was given the same id', async () => {
    const home = scratchFolder()
    writeFileSync(
      join(home, 'start.lock'),
      JSON.stringify({ pid: process.pid, mark: 'an earlier one', nonce: 'x' }),
    )
    const lock = await StartLock.acquire(home, silent)
    lock.release()
  })

  it('is taken over from a file that is none of ours', async () => {
    const home = scratchFolder()
    writeFileSync(join(home, 'start.lock'), 'garbage')
    const lock = await StartLock.acquire(home, silent)
    lock.release()
    assert.deepEqual(readdirSync(home), [])
  })

  it('goes to exactly one of several starts that find a stale one', async () => {
    const home = scratchFolder()
    writeFileSync(join(home, 'start.lock'), JSON.stringify({ pid: 2 ** 22 + 1, mark: '1', nonce: 'x' }))
    const takers = await Promise.all(Array.from({ length: 5 }, () => taker(home)))
    const said = takers.map(({ said }) => said).sort()
    assert.deepEqual(said, [...Array(4).fill('SP_ALREADY_RUNNING'), 'taken'])
    await Promise.all(takers.map(({ child }) => killed(child)))
  })

  it('is waited for while its holder is stopping, and the wait is said', async () => {
    const home = scratchFolder()
    const first = await StartLock.acquire(home, silent)
    first.markStopping()
    const said: string[] = []
    const second = StartLock.acquire(home, line => said.push(line))
    setTimeout(() => first.release(), 2_500)
    const lock = await second
    assert.match(said.join(), /waiting for the earlier start/)
    assert.equal(said.length, 1)
    lock.release()
  })

  it('is given back only by its holder', async () => {
    const home = scratchFolder()
    const lock = await StartLock.acquire(home, silent)
    const other = JSON.stringify({ pid: 1, mark: processMark(1) ?? '', nonce: 'other' })
    writeFileSync(join(home, 'start.lock'), other)
    lock.release()
    assert.equal(readFileSync(join(home, 'start.lock'), 'utf8'), other)
  })
})

describe('the mark of a process', () => {
  it('stays the same for one process and is absent for none', () => {
    assert.equal(processMark(process.pid), processMark(process.pid))
    assert.notEqual(processMark(process.pid), undefined)
    assert.equal(processMark(2 ** 22 + 1), undefined)
  })
})
