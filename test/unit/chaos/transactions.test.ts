import assert from 'node:assert/strict'
import {
  type Judging,
  judgeTransactions,
  type TransactionsVerdict,
} from '../../chaos/processor/transactions.ts'
import { transactionProblems } from '../../chaos/processor/transactions-report.ts'
import { LogBuilder } from './log-builder.ts'

const OWN: Judging = { epochs: 'own', version: 2 }
const OWN_V1: Judging = { epochs: 'own', version: 1 }
const SHARED: Judging = { epochs: 'shared', version: 2 }

function judged(builders: readonly LogBuilder[], judging: Judging): TransactionsVerdict {
  return judgeTransactions(
    builders.map(({ log }) => log.records),
    judging,
  )
}

function told(builders: readonly LogBuilder[], judging: Judging): string {
  const markers = builders.flatMap(({ log }) => log.markers)
  return transactionProblems(judged(builders, judging), markers).join('\n')
}

const names = (transactions: readonly { readonly name: string }[]) => transactions.map(({ name }) => name)
const claims = () => new LogBuilder('claims', 2)
const out = (partition: number) => new LogBuilder('out', partition)

describe('the checker of transactions', () => {
  it('names a transaction whose claims and one output are committed, and whose letter and other output aborted', () => {
    const logs = [
      claims().write(358, { epoch: 8 }, 2).end(470, 'COMMIT', { epoch: 8 }),
      new LogBuilder('dead-letter', 2).write(375, { epoch: 8 }).end(480, 'ABORT', { epoch: 9 }, 8),
      out(2).write(436, { epoch: 8 }).end(481, 'ABORT', { epoch: 9 }, 8),
      out(5).write(461, { epoch: 8 }).end(471, 'COMMIT', { epoch: 8 }),
    ]
    for (const judging of [OWN_V1, SHARED]) {
      const verdict = judged(logs, judging)
      assert.deepEqual(names(verdict.torn), ['3/8'])
      assert.equal(verdict.transactions, 1)
    }
    assert.equal(
      told(logs, OWN_V1),
      `transaction 3/8 is torn:
    claims/2 2 records (0–1, epoch 8, 00:00:00.358): COMMIT (2, epoch 8, 00:00:00.470, coordinator's epoch 7)
    dead-letter/2 1 record (0, epoch 8, 00:00:00.375): ABORT (1, epoch 9, 00:00:00.480, coordinator's epoch 8)
    out/2 1 record (0, epoch 8, 00:00:00.436): ABORT (1, epoch 9, 00:00:00.481, coordinator's epoch 8)
    out/5 1 record (0, epoch 8, 00:00:00.461): COMMIT (1, epoch 8, 00:00:00.471, coordinator's epoch 7)`,
    )
  })

  it('finds the torn one among the transactions of one epoch by their numbers', () => {
    const by = { epoch: 8 }
    const logs = [
      claims()
        .write(1, by, 1, '1')
        .end(2, 'COMMIT', by)
        .write(3, by, 1, '2')
        .end(4, 'COMMIT', by)
        .write(5, by, 1, '3')
        .end(6, 'COMMIT', by),
      // The second wrote nothing here: the second marker of this partition is the third transaction's.
      out(5).write(1, by, 1, '1').end(2, 'COMMIT', by).write(5, by, 1, '3').end(6, 'ABORT', by),
    ]
    assert.deepEqual(names(judged(logs, SHARED).torn), ['3/8/3'])
    assert.equal(judged(logs, SHARED).transactions, 3)
  })

  it('finds nothing where every transaction ended alike', () => {
    const version2 = [
      claims()
        .write(1, { epoch: 8 })
        .end(2, 'COMMIT', { epoch: 9 })
        .write(3, { epoch: 9 })
        .end(4, 'ABORT', { epoch: 10 }),
      out(5)
        .write(1, { epoch: 8 })
        .end(2, 'COMMIT', { epoch: 9 })
        .write(3, { epoch: 9 })
        .end(4, 'ABORT', { epoch: 10 }),
      out(2).writePlain(1),
    ]
    const version1 = [
      claims()
        .write(1, { epoch: 8 })
        .end(2, 'COMMIT', { epoch: 8 })
        .write(3, { epoch: 9 })
        .end(4, 'ABORT', { epoch: 10 }),
      out(5)
        .write(1, { epoch: 8 })
        .end(2, 'COMMIT', { epoch: 8 })
        .write(3, { epoch: 9 })
        .end(4, 'ABORT', { epoch: 10 }),
    ]
    for (const verdict of [judged(version2, OWN), judged(version1, OWN_V1)]) {
      const { torn, unended, endedTwice, endedByAnother, transactions, pieces } = verdict
      assert.deepEqual([torn, unended, endedTwice, endedByAnother], [[], [], [], []])
      assert.deepEqual([transactions, pieces], [2, 4])
    }
  })

  it('takes producers with equal epochs for different ones', () => {
    const logs = [
      claims().write(1, { id: 3n, epoch: 8 }).end(2, 'COMMIT', { id: 3n, epoch: 9 }),
      out(5).write(1, { id: 4n, epoch: 8 }).end(2, 'ABORT', { id: 4n, epoch: 9 }),
    ]
    assert.deepEqual(judged(logs, OWN).torn, [])
  })

  it('tells two transactions of different producers in one partition apart, whichever ends first', () => {
    const a = { id: 3n, epoch: 8 }
    const b = { id: 4n, epoch: 1 }
    const logs = [
      out(5)
        .write(1, a)
        .write(2, b)
        .write(3, a)
        .end(4, 'ABORT', { id: 4n, epoch: 2 })
        .end(5, 'COMMIT', { id: 3n, epoch: 9 }),
      out(2)
        .write(1, a)
        .write(2, b)
        .end(5, 'COMMIT', { id: 3n, epoch: 9 })
        .end(6, 'ABORT', { id: 4n, epoch: 2 }),
    ]
    const verdict = judged(logs, OWN)
    assert.deepEqual([verdict.torn, verdict.endedTwice], [[], []])
    assert.equal(verdict.transactions, 2)
  })

  it('names a transaction that no end follows', () => {
    const logs = [claims().write(1, { epoch: 8 }), out(5).write(2, { epoch: 8 })]
    assert.deepEqual(names(judged(logs, OWN).unended), ['3/8'])
    assert.match(
      told(logs, OWN),
      /^transaction 3\/8 has no end:\n {4}claims\/2 1 record .*: no end follows\n {4}out\/5/,
    )
  })

  it('takes one that ended in some partitions only for torn', () => {
    const logs = [
      claims().write(1, { epoch: 8 }).end(2, 'COMMIT', { epoch: 9 }),
      out(5).write(1, { epoch: 8 }),
    ]
    assert.deepEqual(names(judged(logs, OWN).torn), ['3/8'])
    assert.deepEqual(judged(logs, OWN).unended, [])
  })

  it('names an epoch that two transactions share, where each must have its own', () => {
    const by = { epoch: 8 }
    const logs = [claims().write(1, by).end(2, 'COMMIT', by).write(3, by).end(4, 'COMMIT', by)]
    assert.deepEqual(names(judged(logs, OWN_V1).endedTwice), ['3/8'])
    assert.match(told(logs, OWN_V1), /^transaction 3\/8 ended more than once in a partition:/)
    assert.equal(judged(logs, SHARED).undecided, 1)
    assert.equal(judged(logs, SHARED).transactions, 0)
  })

  it('names a transaction that a marker ended in the midst of its records', () => {
    const by = { epoch: 8 }
    const logs = [
      claims().write(1, by, 1, '1').end(2, 'COMMIT', by).write(3, by, 1, '1').end(4, 'COMMIT', by),
    ]
    assert.deepEqual(names(judged(logs, SHARED).endedTwice), ['3/8/1'])
    const torn = [claims().write(1, by, 1, '1').end(2, 'ABORT', by).write(3, by, 1, '1').end(4, 'COMMIT', by)]
    assert.deepEqual(names(judged(torn, SHARED).torn), ['3/8/1'])
  })

  it('names a transaction that the late marker of the one before it ended', () => {
    const logs = [claims().write(1, { epoch: 8 }).end(2, 'COMMIT', { epoch: 8 })]
    assert.deepEqual(names(judged(logs, OWN).endedByAnother), ['3/8'])
    assert.deepEqual(judged(logs, OWN_V1).endedByAnother, [])
    const later = [claims().write(1, { epoch: 8 }).end(2, 'COMMIT', { epoch: 7 })]
    assert.deepEqual(names(judged(later, OWN_V1).endedByAnother), ['3/8'])
  })

  it('names a transaction that a later one ended where its own marker never came, though both were committed', () => {
    const later = { epoch: 10 }
    for (const judging of [OWN, OWN_V1]) {
      const epoch = judging === OWN ? 9 : 8
      const logs = [
        claims().write(1, { epoch: 8 }).end(2, 'COMMIT', { epoch }),
        out(5).write(1, { epoch: 8 }).write(3, { epoch: 9 }).end(4, 'COMMIT', later),
      ]
      assert.deepEqual(names(judged(logs, judging).endedByAnother), ['3/8'])
      const oneEpochOn = [
        claims().write(1, { epoch: 8 }).end(2, 'COMMIT', { epoch: 8 }),
        out(5).write(1, { epoch: 8 }).end(4, 'COMMIT', { epoch: 9 }),
      ]
      assert.deepEqual(names(judged(oneEpochOn, judging).endedByAnother), ['3/8'])
    }
  })

  it('takes a transaction for torn that was aborted, and that a later one committed where its marker never came', () => {
    const logs = [
      claims()
        .write(1, { epoch: 0 })
        .end(2, 'ABORT', { epoch: 1 })
        .write(3, { epoch: 2 })
        .end(4, 'COMMIT', { epoch: 3 }),
      out(5).write(1, { epoch: 0 }).write(3, { epoch: 2 }).end(4, 'COMMIT', { epoch: 3 }),
    ]
    assert.deepEqual(names(judged(logs, OWN).torn), ['3/0'])
    assert.deepEqual(judged(logs, OWN).endedByAnother, [])
  })

  it('tells of the producer’s other markers near a torn transaction, those without records too', () => {
    const logs = [
      claims().write(1_000, { epoch: 8 }).end(1_100, 'COMMIT', { epoch: 9 }),
      out(5).write(1_000, { epoch: 8 }).end(1_200, 'ABORT', { epoch: 9 }),
      out(2).end(1_101, 'COMMIT', { epoch: 9 }).end(9_000, 'COMMIT', { epoch: 20 }),
    ]
    const text = told(logs, OWN)
    assert.match(
      text,
      /\n {4}out\/2 another end: COMMIT \(0, epoch 9, 00:00:01.101, coordinator's epoch 7\)$/,
    )
  })

  it('counts what it does not name', () => {
    const many = Array.from({ length: 8 }, (_, i) => out(5).write(1, { id: BigInt(i), epoch: 8 }))
    assert.match(told(many, OWN), /\n… and 3 more: has no end$/)
  })
})
