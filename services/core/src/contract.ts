/** Generated from schemas/*.avsc by `npm run contract`: change those. */

/** What an agent processor did with an event. Value of sallyport.agent-events under the event id. */
export interface AgentEvent {
  /** The event that this came from. */
  readonly eventId: string
  /** The agent that the update is about. */
  readonly agentId: string
  /** The status that the update reported. */
  readonly status: string
  /** Which attempt succeeded; 1 is the first. */
  readonly attempt: number
  /** When the agent finished, ms since the epoch, the processor's clock. */
  readonly processedAt: number
}

/**
 * One step of an operator's action. Value of sallyport.audit; its time is the record's append time. The
 * offset of an operation's STARTED record is the operation's id, and the generation of the events that it
 * sends round again.
 */
export interface AuditRecord {
  /**
   * Offset of the STARTED record that this step belongs to; null on that record itself, and on PAUSE and
   * RESUME, which are done at once.
   */
  readonly operation: number | null
  /**
   * REDRIVE: dead letters go round again. REPLAY: past events run again. DISCARD: dead letters are hidden.
   * PAUSE and RESUME: a processor's intake. CHECKPOINT: a part of what all earlier records come to.
   */
  readonly kind: OperationKind
  /**
   * STARTED: opened. RUNNING: somebody took it up; earlier runners are fenced. PROGRESS: a batch was sent, in
   * the same transaction. FINISHED and CANCELLED: closed. REPORTED: whoever asked for it was told that it is
   * finished.
   */
  readonly step: OperationStep
  /** The processor that it is about; empty on a CHECKPOINT. */
  readonly processor: string
  /** Who did it, and from where. */
  readonly by: Operator
  /** The reason that the operator gave. */
  readonly why: string
  /**
   * STARTED: what was asked for, in one form; the same command goes on with the operation, or tells its end
   * where nobody was told.
   */
  readonly command: string
  /** STARTED: which records. */
  readonly selection: Selection | null
  /** STARTED: the offsets among which it selects, of the dead letters or, for a replay, of the events. */
  readonly ranges: readonly OffsetRange[]
  /** PROGRESS: how far one partition is. */
  readonly progress: Progress | null
  /** STARTED: records that the plan counted. Later steps: records handled so far. */
  readonly count: number
  /** CHECKPOINT: what the records before it come to. */
  readonly checkpoint: Checkpoint | null
}

export type OperationKind = 'UNKNOWN' | 'REDRIVE' | 'REPLAY' | 'DISCARD' | 'PAUSE' | 'RESUME' | 'CHECKPOINT'

export type OperationStep =
  | 'UNKNOWN'
  | 'STARTED'
  | 'RUNNING'
  | 'PROGRESS'
  | 'FINISHED'
  | 'CANCELLED'
  | 'REPORTED'

export interface Operator {
  /** Login name. */
  readonly user: string
  /** Host name. */
  readonly host: string
  /** Process id on that host. */
  readonly pid: number
}

export interface Selection {
  /** Event ids; any where empty. */
  readonly ids: readonly string[]
  /** Sources; any where empty. */
  readonly sources: readonly string[]
  /** Event types; any where empty. */
  readonly types: readonly string[]
  /** Reason classes of dead letters; any where empty. */
  readonly reasons: readonly string[]
  /** Error codes of dead letters; any where empty. */
  readonly codes: readonly string[]
  /** Text that the record's value or its failure contains. */
  readonly text: string | null
  /** Appended at this time or later. */
  readonly from: number | null
  /** Appended before this time. */
  readonly to: number | null
}

export interface OffsetRange {
  readonly partition: number
  /** First offset. */
  readonly from: number
  /** One past the last offset. */
  readonly until: number
}

export interface Progress {
  readonly partition: number
  /** Everything selected below this offset was sent. */
  readonly through: number
  /** One past the offset of the last record sent to this partition of the redrive lane. */
  readonly laneEnd: number
}

/**
 * A part of what the records below an offset come to. With all its parts, and the records from that offset
 * on, nobody needs the earlier ones.
 */
export interface Checkpoint {
  /** The same in all parts. */
  readonly nonce: string
  /** Which part it is, from 0. */
  readonly part: number
  /** How many parts there are; the last one is written last. */
  readonly parts: number
  /** One past the offset of the last record that it takes in. */
  readonly through: number
  /** Processors that are paused. */
  readonly pauses: readonly CheckpointPause[]
  /** Operations that are open, and ended ones that concern a dead letter which is kept. */
  readonly operations: readonly CheckpointOperation[]
}

export interface CheckpointPause {
  /** The processor that is paused. */
  readonly processor: string
  /** Who paused it. */
  readonly by: Operator
  /** The reason that the operator gave. */
  readonly why: string
  /** When it was paused. */
  readonly at: number
}

export interface CheckpointOperation {
  /** Offset of its STARTED record. */
  readonly id: number
  /** REDRIVE, REPLAY or DISCARD. */
  readonly kind: OperationKind
  /** The processor that it is about. */
  readonly processor: string
  /** Which records. */
  readonly selection: Selection
  /** The offsets among which it selects. */
  readonly ranges: readonly OffsetRange[]
  /** What was asked for; the beginning of a very long one. */
  readonly command: string
  /** The reason that the operator gave. */
  readonly why: string
  /** Who started it. */
  readonly startedBy: Operator
  /** When it was started. */
  readonly startedAt: number
  /** Records that the plan counted. */
  readonly planned: number
  /** Whether it is open, or how it was closed. */
  readonly state: OperationState
  /** Whether whoever asked for it was told that it is finished. */
  readonly reported: boolean
  /** Who wrote its last step. */
  readonly lastBy: Operator
  /** When its last step was written. */
  readonly lastAt: number
  /** Records sent, or hidden. */
  readonly handled: number
  /** How far each partition is. */
  readonly progress: readonly Progress[]
}

export type OperationState = 'open' | 'finished' | 'cancelled'

/**
 * Marks, in a partition of sallyport.<processor>.claims under the key '#barrier', the point up to which a new
 * owner must read before it processes: everything that earlier owners committed lies before it.
 */
export interface Barrier {
  /** Random; tells this acquisition's barrier from earlier ones. */
  readonly nonce: string
  /** The process that owns the partition from here on; empty where its owner has drained and left it. */
  readonly process: string
}

/**
 * The dedupe entry of one event id for one processor. Value of sallyport.<processor>.claims under the event
 * id; its time is the record's append time.
 */
export interface Claim {
  /** PENDING: waits in a retry tier. DONE: processed. DEAD: in the dead letter. */
  readonly state: ClaimState
  /**
   * Offset in sallyport.audit of the redrive or replay that the event belongs to; 0 for its first way
   * through.
   */
  readonly generation: number
  /** PENDING: number of the attempt that is awaited. DONE and DEAD: number of the last attempt. */
  readonly attempt: number
  /** How long the claim holds after the record's append time. PENDING claims hold until they are settled. */
  readonly windowMs: number
}

export type ClaimState = 'PENDING' | 'DONE' | 'DEAD'

/**
 * One accepted webhook: the signed bytes as they came, who sent them, and how they were verified. Value of
 * sallyport.events, the retry tiers, the redrive lane and the dead letters.
 */
export interface Event {
  /**
   * The event id: source + '/' + the sender's id where the signature covers it, else the SHA-256 (hex) of the
   * signed bytes, and a dot and the SHA-256 of the signed method and query where these are data too. Record
   * key, claim key and the id in the ingress's answer.
   */
  readonly id: string
  /** Name of the source in sallyport.yaml. */
  readonly source: string
  /** The sender's event type, or 'webhook' where the source names none. */
  readonly type: string
  /**
   * What the id is made of: the sender's signed id, or a digest of the signed bytes (then two genuine equal
   * bodies look like one event).
   */
  readonly identity: Identity
  /**
   * How long this id is remembered, ms, where the source has a window of its own (its ids are digests); null:
   * the general window.
   */
  readonly windowMs: number | null
  /** The sender's own id for this delivery, kept even where the signature does not cover it. */
  readonly senderId: string | null
  /** The signature scheme that accepted the delivery. */
  readonly scheme: string
  /** Which of the source's secrets matched: 0 is the current one, 1 and up are previous ones. */
  readonly secretIndex: number
  /** When the ingress had the whole body; ms since the epoch, the ingress's clock. */
  readonly receivedAt: number
  /** The sender's signed time, where the scheme has one. */
  readonly sentAt: number | null
  /** Content-Type of the request, as received. */
  readonly contentType: string | null
  /**
   * The request's HTTP method where it is not POST; null: POST. The signature covers it only where the scheme
   * says so.
   */
  readonly method: string | null
  /**
   * The query of the request's URL, without '?' and as written, where the signature covers the URL and it has
   * one: a GET has its data there. Null elsewhere, since anybody could have written it.
   */
  readonly query: string | null
  /**
   * The request headers that the source chose to keep, names in lower case; never signatures or credentials.
   */
  readonly headers: Readonly<Record<string, string>>
  /** The signed bytes of the request body, unchanged. */
  readonly body: Buffer
}

export type Identity = 'SENDER_ID' | 'DIGEST'

/**
 * Where a task stands in each of its input topics. Value of sallyport.<processor>.claims under the key
 * '#positions', one per partition, written in the same transaction as the effects it accounts for.
 */
export interface Positions {
  /** Input topic → offset of the first record that is not settled. */
  readonly inputs: Readonly<Record<string, number>>
  /** Input topic → the log that its position is of; absent in records of earlier versions. */
  readonly logs: Readonly<Record<string, InputLog>>
}

/** Tells the log that a position is of from another one under its name. */
export interface InputLog {
  /** The topic's id: one that was deleted and made again has another. */
  readonly topicId: string
  /**
   * Under which epoch of the partition's leader the last record was read, -1 where that is not known: a log
   * that lost its end goes on under a later one.
   */
  readonly leaderEpoch: number
  /** Offset after the last record that was read under that epoch. */
  readonly readTo: number
  /** null: nothing that was taken is unsettled, or not for long enough to be seen. */
  readonly held: Held | null
}

/** Since when the position has been held by records that were taken and not settled. */
export interface Held {
  /** Ms since the epoch, the brokers' clock. */
  readonly since: number
  /** All records below this offset had been taken by then. */
  readonly below: number
}

/**
 * One step of learning the secret that a source's sender hands over. Value of sallyport.source-secrets; its
 * time is the record's append time. All ingresses fold these records in the order of the topic and so agree.
 */
export interface SourceSecret {
  /** Name of the source in sallyport.yaml. */
  readonly source: string
  /**
   * OPENED: an operator lets a secret be learnt for a while. CLOSED: no more. LEARNT: the sender handed one
   * over; the first that came within the time counts, and closes it. FORGOTTEN: every secret that was learnt
   * so far is dropped.
   */
  readonly step: SourceSecretStep
  /** Id of the time that an operator opened; empty on FORGOTTEN. */
  readonly window: string
  /** Who did it, and from where; empty for an ingress. */
  readonly by: string
  /** OPENED: how long it stays open, ms from the record's append time. */
  readonly forMs: number
  /** OPENED: SHA-256 (hex) of what the handshake's URL must hold as ?learn=; null: nothing. */
  readonly nonceHash: string | null
  /** OPENED: addresses and networks that the handshake must come from; empty: any. */
  readonly from: readonly string[]
  /** OPENED: what is learnt takes the place of every earlier secret, instead of standing before them. */
  readonly replaces: boolean
  /** LEARNT: which of the sealing keys sealed it. */
  readonly keyId: string | null
  /**
   * LEARNT: the secret, sealed with AES-256-GCM under a key that stands in no topic: 12 bytes of nonce, 16 of
   * tag, then the ciphertext. Bound to source and window.
   */
  readonly sealed: Buffer | null
}

export type SourceSecretStep = 'UNKNOWN' | 'OPENED' | 'CLOSED' | 'LEARNT' | 'FORGOTTEN'

/** A schema’s file in `schemas/`, without its ending → the type of its values. */
export interface SchemaTypes {
  'agent-event.v1': AgentEvent
  'audit.v1': AuditRecord
  'barrier.v1': Barrier
  'claim.v1': Claim
  'event.v1': Event
  'positions.v1': Positions
  'source-secret.v1': SourceSecret
}
