/**
 * A transaction must not be torn: all its records are committed, or none. Each test states what comes late; the course
 * of transactions, and how it is judged from the partitions' logs, is in test/support/torn-transactions/torn-by.ts.
 *
 * Transactions that share one producer epoch, as kafkajs makes them, are torn by these schedules, on the newest brokers
 * and whichever transaction.version they have finalised. That shows that the schedules strike where it hurts. The
 * product's own transactions have an epoch each: with version 2 from EndTxn, with version 1 from InitProducerId.
 */
import assert from 'node:assert/strict'
import { kafkajsTransactor } from '../support/kafkajs-transactions.ts'
import { tornByChance } from '../support/torn-transactions/by-chance.ts'
import type { Fate } from '../support/torn-transactions/fates.ts'
import type { Schedule } from '../support/torn-transactions/schedule.ts'
import {
  lateCommitBeforeOutputs,
  lateCommitBehindClaims,
  lateInitialisation,
  lateMarkers,
  latePartitions,
} from '../support/torn-transactions/schedules.ts'
import { type Site, startSite } from '../support/torn-transactions/site.ts'
import { taskTransactor } from '../support/torn-transactions/task-transactor.ts'
import { type Outcome, tornBy } from '../support/torn-transactions/torn-by.ts'

for (const version of [2, 1] as const) {
  describe(`late requests, with transaction.version ${version}`, function () {
    this.timeout(60_000)
    let site: Site
    before(async function () {
      this.timeout(150_000)
      site = await startSite(version)
    })
    after(() => site?.stop())

    describe('tear transactions that share one epoch:', () => {
      async function run(schedule: Schedule): Promise<Outcome> {
        const outcome = await tornBy(kafkajsTransactor, schedule, site)
        assert.ok(outcome.hasStruck, 'nothing came late')
        return outcome
      }

      /** Transaction 2 became this; the others are whole. */
      async function tears(schedule: Schedule, [claims, deadLetters, ...outputs]: readonly Fate[]) {
        const { told, fates, torn, errors } = await run(schedule)
        const expected = {
          'claims/0': claims,
          'dead-letters/0': deadLetters,
          'outputs/0': outputs[0],
          'outputs/1': outputs[1],
        }
        assert.deepEqual(fates[2], expected, errors.join('\n'))
        assert.deepEqual(torn, [2])
        assert.deepEqual(told, { 1: 'committed', 2: 'failed', 3: 'committed' })
      }

      it('none, when nothing comes late', async () => {
        const { told, torn } = await tornBy(
          kafkajsTransactor,
          { name: 'nothing', repeats: () => false },
          site,
        )
        assert.deepEqual(
          { told, torn },
          { told: { 1: 'committed', 2: 'committed', 3: 'committed' }, torn: [] },
        )
      })

      it(`${lateCommitBehindClaims.name}: settled claims, lost effects`, async () => {
        await tears(lateCommitBehindClaims, ['committed', 'aborted', 'aborted', 'aborted'])
      })

      it(`${lateCommitBeforeOutputs.name}: the rest is never written`, async () => {
        await tears(lateCommitBeforeOutputs, ['committed', 'committed', 'absent', 'absent'])
      })

      it(`${lateMarkers.name}: what it leads is committed, the rest is aborted`, async () => {
        await tears(lateMarkers, ['committed', 'aborted', 'aborted', 'committed'])
      })

      it(`${latePartitions.name}: an idle owner is fenced, though nobody followed it`, async () => {
        const { told, torn } = await run(latePartitions)
        assert.deepEqual({ told, torn }, { told: { 1: 'committed', 2: 'committed', 3: 'failed' }, torn: [] })
      })

      it(`${lateInitialisation.name}: the one case that ends all of a transaction`, async () => {
        const { told, torn } = await run(lateInitialisation)
        assert.deepEqual({ told, torn }, { told: { 1: 'committed', 2: 'failed', 3: 'committed' }, torn: [] })
      })
    })

    describe('cannot tear transactions that have epochs of their own:', () => {
      /** What the coordinator of this version takes from clients; with version 2, leaders add their partitions. */
      const schedules = [lateCommitBehindClaims, lateCommitBeforeOutputs, lateMarkers, lateInitialisation]
      for (const schedule of version === 1 ? [...schedules, latePartitions] : schedules) {
        it(schedule.name, async () => {
          const { hasStruck, told, torn, fates, errors } = await tornBy(taskTransactor, schedule, site)
          assert.ok(hasStruck, 'nothing came late')
          assert.deepEqual(torn, [], JSON.stringify({ fates, errors }, null, 2))
          const isEnded = schedule.ownerDies === true || schedule === lateInitialisation
          const second = isEnded ? 'failed' : 'committed'
          assert.deepEqual(told, { 1: 'committed', 2: second, 3: 'committed' }, errors.join('\n'))
        })
      }

      for (const seed of [1, 2]) {
        it(`many, with requests delayed, repeated, reordered and cut off by chance: seed ${seed}`, async () => {
          const { deeds, told, torn, fates, errors } = await tornByChance(taskTransactor, site, {
            seed,
            transactions: 50,
          })
          const failing = torn.map(n => ({ n, told: told[n], fates: fates[n] }))
          assert.deepEqual(torn, [], JSON.stringify({ failing, errors }, null, 2))
          assert.ok((deeds['duplicate EndTxn'] ?? 0) > 0 && (deeds['duplicate WriteTxnMarkers'] ?? 0) > 0)
          assert.ok(Object.values(told).filter(word => word === 'committed').length >= 10)
        })
      }
    })
  })
}
