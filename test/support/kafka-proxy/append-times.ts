import { Reader } from '@platformatic/kafka'
import type { KafkaRequest } from './request.ts'
import type { Matches, Rule } from './rule.ts'

const LENGTH_BYTES = 4
/** From which version on answers to Produce have these parts. */
const APPEND_TIME_FROM = 2
const LOG_START_FROM = 5
const RECORD_ERRORS_FROM = 8
const COMPACT_FROM = 9
const TOPIC_IDS_FROM = 13

/** The broker's clock is off: its answers to records tell another time of append; the records themselves keep theirs. */
export function shiftAppendTimes(matches: Matches, byMs: number): Rule {
  return request =>
    request.api === 'Produce' && matches(request)
      ? { rewrite: answer => withShiftedTimes(answer, request, byMs) }
      : undefined
}

/** An answer to Produce, its length first, whose times of append are so much later; -1, no time, stays. */
export function withShiftedTimes(
  answer: Buffer,
  { version }: Pick<KafkaRequest, 'version'>,
  byMs: number,
): Buffer {
  if (version < APPEND_TIME_FROM) return answer
  const shifted = Buffer.from(answer)
  const reader = Reader.from(answer.subarray(LENGTH_BYTES))
  const isCompact = version >= COMPACT_FROM
  reader.readInt32() // correlation id
  if (isCompact) reader.readTaggedFields()
  reader.readArray(
    () => {
      if (version >= TOPIC_IDS_FROM) reader.readUUID()
      else reader.readString(isCompact)
      reader.readArray(
        () => {
          reader.skip(4 + 2 + 8) // partition, code, base offset
          const at = LENGTH_BYTES + reader.position
          const timeMs = reader.readInt64()
          if (timeMs >= 0n) shifted.writeBigInt64BE(timeMs + BigInt(byMs), at)
          if (version >= LOG_START_FROM) reader.readInt64()
          if (version >= RECORD_ERRORS_FROM) {
            reader.readArray(
              () => {
                reader.readInt32()
                reader.readNullableString(isCompact)
              },
              isCompact,
              isCompact,
            )
            reader.readNullableString(isCompact)
          }
        },
        isCompact,
        isCompact,
      )
    },
    isCompact,
    isCompact,
  )
  return shifted
}
