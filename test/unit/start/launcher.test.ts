import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { PROJECT_FOLDER } from 'sallyport/start/home'
import { scratchFolder } from './folder.ts'

const BIN = join(PROJECT_FOLDER, 'services/cli/bin')
const LAUNCHER = join(BIN, 'on-node24.js')

/** A Node older than 24, where this machine has one: then the launcher needs a child. */
function olderNode(): string | undefined {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const file = join(folder, 'node')
    if (!existsSync(file)) continue
    const version = spawnSync(file, ['-p', 'process.versions.node'], { encoding: 'utf8' }).stdout
    if (Number.parseInt(version, 10) < 24) return file
  }
  return undefined
}

/** A script that tells what it sees, acts on SIGTERM, and can end by itself. */
function script(): string {
  const file = join(scratchFolder(), 'script.mjs')
  writeFileSync(
    file,
    `import { fork } from 'node:child_process'
     import { once } from 'node:events'
     process.on('SIGTERM', () => { console.log('asked'); process.exit(7) })
     process.emitWarning('hidden', 'ExperimentalWarning')
     process.emitWarning('hidden', 'TimeoutNegativeWarning')
     process.emitWarning('shown', 'OtherWarning')
     if (process.argv[2] === 'fork') await once(fork(process.argv[1], ['forked']), 'exit')
     console.log(JSON.stringify([process.versions.node.split('.')[0], ...process.argv.slice(2)]))
     if (process.argv[2] === 'stay') setInterval(() => {}, 1000)
     if (process.argv[2] === 'die') process.kill(process.pid, 'SIGKILL')
     if (process.argv[2] === 'fail') process.exitCode = 3`,
  )
  return file
}

function launch(node: string, args: string[]): ChildProcess {
  return spawn(node, [LAUNCHER, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
}

async function ended(
  child: ChildProcess,
): Promise<{ code: number | null; signal: string | null; output: string }> {
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  return { code, signal, output }
}

for (const [what, node] of [
  ['a Node that is new enough', process.execPath],
  ['an older Node', olderNode()],
] as const) {
  describe(`on-node24.js, called by ${what}`, () => {
    before(function () {
      if (node === undefined) this.skip()
    })
    const run = (...args: string[]) => launch(node as string, [script(), ...args])

    it('runs the script on Node 24 with its arguments, and passes its exit code on', async () => {
      const { code, output } = await ended(run('fail', 'a b'))
      assert.equal(code, 3)
      const [major, ...args] = JSON.parse(output.split('\n').find(line => line.startsWith('[')) as string)
      assert.ok(Number(major) >= 24)
      assert.deepEqual(args, ['fail', 'a b'])
    })

    it('hides the two warnings that mean nothing to users, and no other, also in what the script forks', async () => {
      const { output } = await ended(run('fork'))
      assert.doesNotMatch(output, /hidden/)
      assert.equal(output.match(/OtherWarning: shown/g)?.length, 2)
    })

    it('passes SIGTERM on, and ends when the script has', async () => {
      const child = run('stay')
      await once(child.stdout as NodeJS.ReadableStream, 'data')
      child.kill('SIGTERM')
      const { code, output } = await ended(child)
      assert.equal(code, 7)
      assert.match(output, /asked/)
    })

    it('ends by the signal that ended the script', async () => {
      assert.equal((await ended(run('die'))).signal, 'SIGKILL')
    })
  })
}

describe('on-node24.js, killed', () => {
  it('takes the script along', async function () {
    const node = olderNode()
    if (node === undefined) this.skip()
    const marker = scratchFolder()
    const child = launch(node, [script(), 'stay', marker])
    await once(child.stdout as NodeJS.ReadableStream, 'data')
    assert.match(commands(), new RegExp(marker))
    child.kill('SIGKILL')
    await once(child, 'exit')
    for (let i = 0; i < 40 && commands().includes(marker); i++) await new Promise(r => setTimeout(r, 50))
    assert.doesNotMatch(commands(), new RegExp(marker))
  })
})

function commands(): string {
  return spawnSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).stdout
}

describe('the installation', () => {
  const lock = {
    packages: {
      '': { name: 'x' },
      'services/a': { version: '1.0.0' },
      'node_modules/a': { resolved: 'services/a', link: true },
      'node_modules/b': { version: '1.0.0', integrity: 'sha512-b' },
      'node_modules/c': { version: '1.0.0', integrity: 'sha512-c', dev: true },
      'node_modules/d': { version: '1.0.0', integrity: 'sha512-d', optional: true },
    },
  }

  /** A project with this much installed. */
  function project(installed: Record<string, unknown> | undefined): string {
    const root = scratchFolder()
    writeFileSync(join(root, 'package-lock.json'), JSON.stringify(lock))
    if (installed === undefined) return root
    mkdirSync(join(root, 'node_modules/node/bin'), { recursive: true })
    writeFileSync(join(root, 'node_modules/node/bin/node'), '')
    writeFileSync(join(root, 'node_modules/.package-lock.json'), JSON.stringify({ packages: installed }))
    return root
  }

  const { 'node_modules/c': dev, 'node_modules/d': _optional, ...production } = lock.packages

  async function why(root: string, dev: boolean): Promise<string | undefined> {
    const { whyInstall } = await import(join(BIN, 'install.js'))
    return whyInstall(root, { dev })
  }

  it('is due when nothing is installed, a package is missing or another version is there', async () => {
    assert.match((await why(project(undefined), false)) as string, /no packages/)
    const missing = { ...production, 'node_modules/b': undefined }
    assert.match((await why(project(missing), false)) as string, /node_modules\/b is missing/)
    const other = { ...production, 'node_modules/b': { version: '0.9.0', integrity: 'sha512-b' } }
    assert.match((await why(project(other), false)) as string, /node_modules\/b has another version/)
  })

  it('is not due for packages of other platforms, nor for development ones where none is needed', async () => {
    assert.equal(await why(project({ ...production, 'node_modules/c': dev }), true), undefined)
    assert.equal(await why(project(production), false), undefined)
    assert.match((await why(project(production), true)) as string, /node_modules\/c is missing/)
  })

  it('shows the words of npm where it fails, and what to do', async () => {
    const root = project(undefined)
    const folder = scratchFolder()
    writeFileSync(join(folder, 'npm'), '#!/bin/sh\necho npm error code E404\nexit 4\n')
    chmodSync(join(folder, 'npm'), 0o755)
    const child = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `const { ensureInstalled } = await import(${JSON.stringify(join(BIN, 'install.js'))})
         await ensureInstalled(${JSON.stringify(root)}, { dev: false }).catch(error => console.log(error.message))`,
      ],
      { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: folder } },
    )
    const { output } = await ended(child)
    assert.match(output, /installing packages with npm ci, since no packages are installed/)
    assert.match(output, /npm error code E404\n\nnpm ci failed \(exit 4\).*Check the network/)
    assert.equal(existsSync(join(root, '.sallyport/install.lock')), false)
  })
})
