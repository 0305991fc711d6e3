/** What happens in a run, drawn from the seed before it begins: how long things take does not change it. */
import { Random } from './random.ts'

export const SESSION_TIMEOUT_MS = 4_000

/**
 * The points of fault-points.ts, in the order in which a process passes them, and the time up to which it strikes at one:
 * the first or second of its partitions in an acquisition, somewhere among the transactions.
 */
const FAULT_POINTS = {
  joined: 1,
  connect: 2,
  init: 2,
  barrier: 2,
  'barrier-commit': 2,
  'checkpoint-open': 2,
  'restore-batch': 2,
  acquire: 2,
  start: 2,
  'checkpoint-part': 8,
  transact: 8,
  begin: 8,
  claims: 8,
  retry: 8,
  'dead-letter': 8,
  output: 8,
  offsets: 8,
  commit: 8,
  'checkpoint-save': 2,
  leave: 1,
}

/** The points at which a transaction is under way, those at which something was written, and when its end has begun. */
const STRIKE_POINTS = {
  coordinator: ['claims:after', 'offsets:after', 'commit:before'],
  leader: ['claims:after', 'output:after', 'commit:before'],
  ending: ['commit:after'],
}
/** A broker that stands still for longer than this is taken for dead, ms: Kafka's `broker.session.timeout.ms`. */
const BROKER_SESSION_MS = 9_000
const ACTIONS = ['kill', 'freeze'] as const

export type Step =
  /** SIGKILL of some processes at once, and others in their place `afterMs` later. */
  | { readonly kind: 'kill'; readonly count: number; readonly afterMs: number }
  /** SIGSTOP, and SIGCONT later: above the session time-out it wakes as a zombie. */
  | { readonly kind: 'freeze'; readonly ms: number }
  | { readonly kind: 'terminate'; readonly afterMs: number }
  /** One more process for a while. */
  | { readonly kind: 'join'; readonly ms: number; readonly end: 'kill' | 'terminate' }
  /** Each process in turn is asked to stop and replaced. */
  | { readonly kind: 'rolling' }
  /** SIGKILL of a broker, started again later; `alsoKill`: a process dies with it. */
  | { readonly kind: 'broker'; readonly broker: number; readonly ms: number; readonly alsoKill: boolean }
  /** Foreign transactions are opened in the processor's topics and never ended. */
  | { readonly kind: 'hang' }
  /** SIGTERM while the process is still starting, `afterMs` after its launch. */
  | { readonly kind: 'abort-start'; readonly afterMs: number }
  /** A process dies or freezes at a fault point (see `fault-points.ts`). */
  | { readonly kind: 'fault'; readonly fault: string; readonly action: 'kill' | 'freeze' }
  /** SIGSTOP of a broker for a second or two: a delay, not a death. */
  | { readonly kind: 'broker-freeze'; readonly broker: number; readonly ms: number }
  /** SIGSTOP of a broker until others have taken over what it led; then it wakes. */
  | { readonly kind: 'broker-hang'; readonly broker: number; readonly ms: number }
  /**
   * SIGKILL or SIGSTOP of a broker for `ms`, by a process that has a transaction under way: of its coordinator, of the
   * leader of one partition that it wrote to, or of the coordinator between EndTxn and its markers.
   */
  | Strike
  /** Processes reach the brokers through a proxy that delays, repeats, reorders and loses whole requests. */
  | { readonly kind: 'requests'; readonly ms: number; readonly seed: number }
  /** The registry denies everything for a while, beside the steps that follow: see registry-faults.ts. */
  | { readonly kind: 'registry'; readonly ms: number; readonly denial: 'words' | 'page' }
  /** The clock of one broker leaps by 25 hours for a while, as its answers tell. */
  | { readonly kind: 'clock'; readonly ms: number }
  | Redrive

/** Dead letters are redriven, the redrive is killed, their senders repeat them and a process dies: see redrives.ts. */
export interface Redrive {
  readonly kind: 'redrive'
  /** Which part of the letters it has sent by then, at least; 0 to 1. */
  readonly killAfter: number
}

export interface Strike {
  readonly kind: keyof typeof STRIKE_POINTS
  readonly fault: string
  readonly action: (typeof ACTIONS)[number]
  readonly ms: number
}

export function scheduleOf(seed: number, short: boolean): Step[] {
  const random = Random.of(seed, 'schedule')
  const kills = random.shuffle(faultSteps('kill', random))
  const freezes = random.shuffle(faultSteps('freeze', random))
  const once: Step[] = [
    { kind: 'kill', count: 1, afterMs: 500 },
    { kind: 'freeze', ms: SESSION_TIMEOUT_MS + random.between(2_000, 4_000) },
    { kind: 'hang' },
    { kind: 'broker', broker: random.between(0, 2), ms: random.between(2_000, 6_000), alsoKill: true },
    { kind: 'rolling' },
    { kind: 'join', ms: 2_000, end: 'terminate' },
    { kind: 'abort-start', afterMs: random.between(300, 2_500) },
    { kind: 'broker-freeze', broker: random.between(0, 2), ms: random.between(800, 2_500) },
    { kind: 'requests', ms: random.between(8_000, 15_000), seed: random.between(1, 1_000_000) },
    denial(random),
    redrive(random),
    { kind: 'clock', ms: random.between(3_000, 6_000) },
  ]
  const strikes = {
    coordinator: ACTIONS.map(action => strike('coordinator', action, random)),
    ending: ACTIONS.map(action => strike('ending', action, random)),
    leader: ACTIONS.map(action => strike('leader', action, random)),
  }
  if (short) {
    const some = [random.pick(strikes.coordinator), ...strikes.ending, random.pick(strikes.leader)]
    return random.shuffle([...once, ...some, ...kills.slice(0, 5), ...freezes.slice(0, 2)])
  }
  const hang: Step = { kind: 'broker-hang', broker: random.between(0, 2), ms: random.between(14_000, 20_000) }
  const more = Array.from({ length: 30 }, () => randomStep(random))
  const all = [...once, hang, ...Object.values(strikes).flat(), { kind: 'terminate', afterMs: 500 } as const]
  return random.shuffle([...all, ...kills, ...freezes, ...more])
}

/** Names what a step does, for counting: strikes at a broker by what befalls it. */
export function stepName(step: Step): string {
  return isStrike(step) ? `${step.kind} ${step.action}` : step.kind
}

export function isStrike(step: Step): step is Strike {
  return step.kind in STRIKE_POINTS
}

/** What happens after the schedule, for as long as the run goes on. */
export function* endlessSteps(seed: number): Generator<Step, never> {
  const random = Random.of(seed, 'endless')
  for (;;) yield randomStep(random)
}

/** For people. */
export function describeStep(step: Step): string {
  switch (step.kind) {
    case 'kill':
      return `SIGKILL of ${step.count}`
    case 'freeze':
      return `SIGSTOP for ${step.ms} ms${step.ms > SESSION_TIMEOUT_MS ? ' (a zombie wakes)' : ''}`
    case 'terminate':
      return 'SIGTERM, and another in its place'
    case 'join':
      return `one more for ${step.ms} ms, then ${step.end}`
    case 'rolling':
      return 'rolling restart'
    case 'broker':
      return `SIGKILL of broker ${step.broker} for ${step.ms} ms${step.alsoKill ? ', and of a process' : ''}`
    case 'hang':
      return 'foreign transactions left open'
    case 'abort-start':
      return `SIGTERM ${step.afterMs} ms after a start`
    case 'fault':
      return `${step.action} at ${step.fault}`
    case 'broker-freeze':
      return `SIGSTOP of broker ${step.broker} for ${step.ms} ms`
    case 'broker-hang':
      return `SIGSTOP of broker ${step.broker} for ${step.ms} ms, while others take over`
    case 'coordinator':
    case 'ending':
    case 'leader':
      return `${BROKER_ACTIONS[step.action]} of ${STRUCK[step.kind]} for ${step.ms} ms (${step.fault})`
    case 'requests':
      return `requests are delayed, repeated, reordered and lost for ${step.ms} ms`
    case 'clock':
      return `the clock of a broker is 25 h ahead for ${step.ms} ms`
    case 'redrive':
      return `a redrive, killed after ${step.killAfter} of its letters, while senders repeat and a process dies`
    case 'registry':
      return `the registry answers 404 (${step.denial}) for ${step.ms} ms`
  }
}

const BROKER_ACTIONS = { kill: 'SIGKILL', freeze: 'SIGSTOP' }
const STRUCK = {
  coordinator: 'the coordinator of a transaction under way',
  ending: 'a coordinator between EndTxn and its markers',
  leader: 'the leader of a partition that a transaction wrote to',
}

/** Longer than processes doubt what the registry denies. */
function denial(random: Random): Step {
  return {
    kind: 'registry',
    ms: random.between(4_000, 9_000),
    denial: random.pick(['words', 'page'] as const),
  }
}

/** Before and after each point. */
function faultSteps(action: 'kill' | 'freeze', random: Random): Step[] {
  return Object.entries(FAULT_POINTS).flatMap(([point, nthMax]) =>
    ['before', 'after'].map(
      (side): Step => ({
        kind: 'fault',
        fault: `${point}:${side}:${random.between(1, nthMax)}:${action}`,
        action,
      }),
    ),
  )
}

function strike(kind: Strike['kind'], action: Strike['action'], random: Random): Strike {
  const point = `${random.pick(STRIKE_POINTS[kind])}:${random.between(1, 8)}`
  const target = kind === 'leader' ? 'leader' : 'coordinator'
  const ms = action === 'kill' ? random.between(0, 6_000) : brokerFreezeMs(random)
  return { kind, fault: `${point}:${action}-${target}`, action, ms }
}

/** Mostly a delay; now and then the others take over. */
function brokerFreezeMs(random: Random): number {
  return random.next() < 0.8
    ? random.between(800, 2_500)
    : random.between(BROKER_SESSION_MS + 2_000, BROKER_SESSION_MS + 6_000)
}

function randomStep(random: Random): Step {
  const kind = random.pick([
    'kill',
    'kill',
    'freeze',
    'terminate',
    'join',
    'broker',
    'hang',
    'abort-start',
    'broker-freeze',
    'broker-hang',
    'coordinator',
    'ending',
    'leader',
    'requests',
    'registry',
    'redrive',
    'clock',
  ] as const)
  switch (kind) {
    case 'kill':
      return { kind, count: random.between(1, 3), afterMs: random.between(0, 3_000) }
    case 'freeze': {
      const long = SESSION_TIMEOUT_MS + random.between(500, 6_000)
      return { kind, ms: random.next() < 0.7 ? long : random.between(500, 3_000) }
    }
    case 'terminate':
      return { kind, afterMs: random.between(0, 2_000) }
    case 'join':
      return { kind, ms: random.between(0, 5_000), end: random.pick(['kill', 'terminate']) }
    case 'broker':
      return {
        kind,
        broker: random.between(0, 2),
        ms: random.between(0, 10_000),
        alsoKill: random.next() < 0.5,
      }
    case 'hang':
      return { kind }
    case 'abort-start':
      return { kind, afterMs: random.between(200, 4_000) }
    case 'broker-freeze':
      return { kind, broker: random.between(0, 2), ms: random.between(500, 2_500) }
    case 'broker-hang':
      return { kind, broker: random.between(0, 2), ms: random.between(14_000, 20_000) }
    case 'coordinator':
    case 'ending':
    case 'leader':
      return strike(kind, random.pick(ACTIONS), random)
    case 'requests':
      return { kind, ms: random.between(5_000, 20_000), seed: random.between(1, 1_000_000) }
    case 'registry':
      return denial(random)
    case 'redrive':
      return redrive(random)
    case 'clock':
      return { kind, ms: random.between(3_000, 15_000) }
  }
}

function redrive(random: Random): Redrive {
  return { kind: 'redrive', killAfter: random.between(1, 5) / 10 }
}
