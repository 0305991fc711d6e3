/** Runs many transactions while requests are delayed, repeated, reordered and cut off by chance. */
import { randomRule } from '../kafka-proxy/random-rule.ts'
import { ofApi, untouched } from '../kafka-proxy/rule.ts'
import { type Fates, settledFates, type Told, tornOf } from './fates.ts'
import { freshTopics, type Site } from './site.ts'
import { Owners } from './torn-by.ts'
import type { ConnectTransactor } from './transactor.ts'

/** Every request of a transaction, and what brokers write at its end. */
const TRANSACTION_APIS = [
  'InitProducerId',
  'AddPartitionsToTxn',
  'Produce',
  'AddOffsetsToTxn',
  'TxnOffsetCommit',
  'EndTxn',
  'WriteTxnMarkers',
]
/** Many repeats, for they alone can tear; a cut costs its owner the partition. */
const PERCENT = { delay: 6, overtake: 2, duplicate: 25, cut: 2 }
const DELAY_MS_MAX = 150
const COPY_MS_MAX = 600

export interface ChanceOutcome {
  /** What was done to how many requests. */
  readonly deeds: Readonly<Record<string, number>>
  readonly told: Readonly<Record<number, Told>>
  readonly fates: Fates
  readonly torn: readonly number[]
  readonly errors: readonly string[]
}

/** Runs transactions one after the other, by as many owners as it takes. */
export async function tornByChance(
  connect: ConnectTransactor,
  site: Site,
  { seed, transactions }: { readonly seed: number; readonly transactions: number },
): Promise<ChanceOutcome> {
  const topics = await freshTopics(site)
  const { cluster, proxy } = site
  const owners = new Owners(connect, proxy.brokers, topics)
  const deeds: Record<string, number> = {}
  try {
    // Quiet, so that there is one who is known to begin.
    await owners.transact(1)
    proxy.use(
      randomRule(seed, {
        matches: ofApi(...TRANSACTION_APIS),
        percent: PERCENT,
        delayMsMax: DELAY_MS_MAX,
        copyMsMax: COPY_MS_MAX,
        sendAgain: proxy.sendAgain,
        onDeed: (deed, { api }) => {
          const key = `${deed} ${api}`
          deeds[key] = (deeds[key] ?? 0) + 1
        },
      }),
    )
    for (let n = 2; n < transactions; n++) await owners.transact(n)
    proxy.use(untouched)
    await owners.transact(transactions)
  } finally {
    proxy.use(untouched)
    await owners.close()
  }
  const { told, errors } = owners
  const fates = await settledFates(cluster.brokers, topics, transactions)
  return { deeds, told, fates, torn: tornOf(fates, told), errors }
}
