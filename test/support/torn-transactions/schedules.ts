/** Schedules that tear transactions which share one producer epoch, or that come close to it. */
import type { KafkaRequest } from '../kafka-proxy/request.ts'
import type { Progress, Schedule } from './schedule.ts'

/** What a client sends of a transaction between its first record and its end. */
const GOING_ON = ['AddPartitionsToTxn', 'Produce', 'AddOffsetsToTxn', 'TxnOffsetCommit', 'EndTxn']

const isFirstCommit = ({ api, from }: KafkaRequest, { transaction }: Progress) =>
  from === 'client' && api === 'EndTxn' && transaction === 1

const isEnd = ({ api, from }: KafkaRequest, { transaction }: Progress) =>
  from === 'client' && api === 'EndTxn' && transaction === 2

const isBehindClaims = ({ api, from }: KafkaRequest, { transaction }: Progress) =>
  from === 'client' && GOING_ON.includes(api) && transaction === 2

/** The claims are committed by it, and what follows them is aborted by the successor: the events are lost. */
export const lateCommitBehindClaims: Schedule = {
  name: 'the commit of the transaction before comes behind the claims, and their owner dies',
  repeats: isFirstCommit,
  before: isBehindClaims,
  ownerDies: true,
}

/** What was written is committed by it; brokers refuse the rest, which belongs to no transaction by then. */
export const lateCommitBeforeOutputs: Schedule = {
  name: 'the commit of the transaction before comes between two records',
  repeats: isFirstCommit,
  before: (request, progress) => progress.writes(2, progress.topics.outputs, request),
}

/** What this leader leads is committed by them, and what others lead is aborted by the successor. */
export const lateMarkers: Schedule = {
  name: 'the markers of the transaction before come to one leader, and the owner dies',
  repeats: ({ api, from, broker, transactions }, { topics }) =>
    from === 'broker' &&
    api === 'WriteTxnMarkers' &&
    broker === topics.roles.claimsLeader &&
    transactions.some(({ partitions }) => partitions.includes(`${topics.claims}/0`)),
  before: isEnd,
  ownerDies: true,
}

/** They begin a transaction that nobody ends: when it times out, the coordinator fences whoever is idle. */
export const latePartitions: Schedule = {
  name: 'the partitions of the transaction before are added behind the last one',
  repeats: ({ api, from }, { transaction }) =>
    from === 'client' && api === 'AddPartitionsToTxn' && transaction === 0,
  pauseMs: 8_000,
}

/** It ends the transaction under way as a whole, and fences its owner. */
export const lateInitialisation: Schedule = {
  name: 'the InitProducerId of the owner comes behind the claims',
  repeats: ({ api, from }, { transaction }) =>
    from === 'client' && api === 'InitProducerId' && transaction < 2,
  onlyLast: true,
  before: isBehindClaims,
}
