/** What writes transactions for one partition of a group, as a task does; of whichever client. */
export interface Transactor {
  /** Writes all or nothing. Rejects when it is not known to be written; then this one is not used again. */
  transact(
    claims: PartitionWrites,
    others: readonly PartitionWrites[],
    positions: readonly InputPosition[],
  ): Promise<unknown>
  close(): Promise<void>
}

/** The records of a transaction for one partition. */
export interface PartitionWrites {
  readonly topic: string
  readonly partition: number
  readonly records: readonly { readonly key: Buffer; readonly value: Buffer }[]
}

/** One past the last settled record of an input. */
export interface InputPosition {
  readonly topic: string
  readonly offset: number
}

/** Takes over from whoever wrote for the partition before: its transactional id is `groupId-partition`. */
export type ConnectTransactor = (owner: {
  readonly brokers: readonly string[]
  readonly groupId: string
  readonly partition: number
}) => Promise<Transactor>
