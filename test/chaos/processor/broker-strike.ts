/**
 * Kills or freezes a broker from inside the process under test, in the midst of a transaction: the checker would hear
 * of the moment too late. It writes beforehand who coordinates and who leads (see `broker-faults.ts`).
 */
import { readFileSync } from 'node:fs'

/** The brokers of a moment, counted from 0. */
export interface Targets {
  /** Process ids of those that run. */
  readonly pids: Readonly<Record<number, number>>
  /** By transactional id. */
  readonly coordinators: Readonly<Record<string, number>>
  /** By `topic/partition`. */
  readonly leaders: Readonly<Record<string, number>>
}

/** The transaction that a process is at. */
export interface UnderWay {
  readonly transactionalId: string
  /** `topic/partition` of each that it has written to. */
  readonly written: readonly string[]
}

/** Whom a strike is for: `leader` leads a partition that was written to, and does not coordinate. */
export type Target = 'coordinator' | 'leader'

/** What happened to which broker. */
export interface BrokerStruck {
  readonly broker: number
  readonly action: 'kill' | 'freeze'
  readonly transactionalId: string
  /** ms since the epoch. */
  readonly at: number
}

/** Which broker is meant; undefined where there is none, such as a leader that does not coordinate. */
export function chooseBroker(
  target: Target,
  { coordinators, leaders }: Targets,
  at: UnderWay,
): number | undefined {
  const coordinator = coordinators[at.transactionalId]
  if (target === 'coordinator') return coordinator
  return at.written
    .map(place => leaders[place])
    .find(leader => leader !== undefined && leader !== coordinator)
}

/** Strikes at once. Undefined: there was nothing to strike. `file`: the targets as JSON. */
export function strikeBroker(
  action: 'kill' | 'freeze',
  target: Target,
  file: string,
  underWay: UnderWay,
): BrokerStruck | undefined {
  const targets: Targets = JSON.parse(readFileSync(file, 'utf8'))
  const broker = chooseBroker(target, targets, underWay)
  const pid = broker === undefined ? undefined : targets.pids[broker]
  if (broker === undefined || pid === undefined) return undefined
  const at = Date.now()
  try {
    process.kill(pid, action === 'kill' ? 'SIGKILL' : 'SIGSTOP')
  } catch {
    return undefined
  }
  return { broker, action, transactionalId: underWay.transactionalId, at }
}
