/** The topics of the processor under test. */
import { NAME, OUTPUT } from './agent.ts'
import { TIERS } from './fate.ts'

export const CLAIMS = `sallyport.${NAME}.claims`
export const RETRIES = TIERS.map((_, i) => `sallyport.${NAME}.retry.${i + 1}`)
export const DEAD_LETTER = `sallyport.${NAME}.dead-letter`
export const REDRIVE = `sallyport.${NAME}.redrive`
/** What its transactions write to. */
export const WRITTEN = [CLAIMS, ...RETRIES, DEAD_LETTER, OUTPUT]

/** The transactional id of the owner of a partition. */
export function transactionalId(partition: number): string {
  return `sallyport.${NAME}-${partition}`
}
