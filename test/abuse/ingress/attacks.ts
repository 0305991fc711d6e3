/** What strangers do, each from a process of its own, so that no attacker waits for another's event loop. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export interface Attack {
  /** How many connections it keeps open. */
  readonly connections: number
  /** New connections a second, at most. */
  readonly perSecond: number
  /** How many addresses it comes from. */
  readonly addresses: number
  /** Sockets that are expected at the ingress; fewer are told. */
  readonly must: number
  /** Nothing new behind a proxy. */
  readonly directOnly: boolean
  readonly what: AttackKind
}

export type AttackKind = 'silent' | 'unfinished' | 'crumbs' | 'crlf' | 'deaf' | 'forged'

const COMMON = { perSecond: 3_000, addresses: 200, must: 0, directOnly: false }

export const ATTACKS: Readonly<Record<string, Attack>> = {
  silent: { ...COMMON, connections: 12_000, must: 5_000, what: 'silent' },
  'silent-one-address': { ...COMMON, connections: 10_000, addresses: 1, directOnly: true, what: 'silent' },
  'unfinished-bodies': { ...COMMON, connections: 300, perSecond: 60, what: 'unfinished' },
  'one-byte-chunks': { ...COMMON, connections: 16, what: 'crumbs' },
  'bare-crlfs': { ...COMMON, connections: 11_000, must: 5_000, what: 'crlf' },
  'slow-readers': { ...COMMON, connections: 100, what: 'deaf' },
  'forged-certificates': { ...COMMON, connections: 20, what: 'forged' },
}

const ATTACKER = fileURLToPath(new URL('./attacker.ts', import.meta.url))

export interface RunningAttack {
  /** Ends it, and gives what it did. */
  stop(): Promise<string>
}

export function launch(name: string, url: string): RunningAttack {
  // An attacker has a machine of its own: what it computes is not to be missing here.
  const args = ['-n', '10', process.execPath, '--no-warnings', ATTACKER, name, url]
  const child: ChildProcess = spawn('nice', args, { stdio: ['pipe', 'pipe', 'inherit'] })
  let did = ''
  child.stdout?.on('data', chunk => {
    did += chunk
  })
  return {
    async stop() {
      const ended = once(child, 'close')
      child.stdin?.end()
      await ended
      return did.trim()
    },
  }
}
