/**
 * The sender's own id and type of a delivery, read where its source says they stand.
 *
 * V6 (schemes/scheme.ts) is kept here: an id is the sender's only if this delivery's proof covers every value that it is
 * made of. A place that is not covered is passed over, or a header that a stranger adds would make a new event of a
 * captured delivery. What is blank, not well-formed or too long is no id and no type; of a covered id that is only too
 * long the digest stands in, so that a retry keeps its event and another id is another event.
 */
import {
  asLabel,
  type CompiledLocations,
  JOINED_BYTES_MAX,
  joinParts,
  labelText,
} from './schemes/location.ts'
import type { Reading } from './schemes/reading.ts'
import type { Authentic, Covers } from './schemes/verifier.ts'

/** The id that a proof vouches for, or the text of one that is too long for a record key. */
export type ProvenId = { readonly kind: 'id' | 'too-long'; readonly text: string }

/**
 * The first id all of whose places are covered and there; null where there is none, or where one of its values is no
 * text of an id: the next place would then name something that other events have as well.
 */
export function provenId(
  locations: CompiledLocations,
  reading: Reading,
  { covers, id }: Pick<Authentic, 'covers' | 'id'>,
): ProvenId | null {
  const found = valuesOf(locations, reading, covers).find(isThere)
  if (found === undefined) return typeof id === 'string' ? asId([id], false) : null
  const parts = found.map(labelText)
  return parts.includes(null) ? null : asId(parts as string[], isSeveral(locations))
}

/** The first id that is there and one, covered or not: for people, and for no decision. */
export function anyId(locations: CompiledLocations, reading: Reading): string | null {
  for (const values of valuesOf(locations, reading, () => true)) {
    const parts = values.map(asLabel)
    const id = parts.includes(null) ? null : asId(parts as string[], isSeveral(locations))
    if (id?.kind === 'id') return id.text
  }
  return null
}

/** The first type that is there; several parts are joined with `.`, as people know them. */
export function typeAt(locations: CompiledLocations, reading: Reading): string | null {
  for (const places of locations) {
    const texts = places.map(place => asLabel(reading.at(place)))
    const type = texts.includes(null) ? null : asLabel(texts.join('.'))
    if (type !== null) return type
  }
  return null
}

/** What stands at the places of each id that is covered. */
function valuesOf(locations: CompiledLocations, reading: Reading, covers: Covers): readonly unknown[][] {
  return locations
    .filter(places => places.every(covers))
    .map(places => places.map(place => reading.at(place)))
}

function isThere(values: readonly unknown[]): boolean {
  return !values.includes(undefined) && !values.includes(null)
}

/** Whether one of the ids has several parts: then each is written so that none is taken for another. */
function isSeveral(locations: CompiledLocations): boolean {
  return locations.some(places => places.length > 1)
}

function asId(parts: readonly string[], escaped: boolean): ProvenId {
  const text = escaped ? joinParts(parts) : (parts[0] as string)
  const fits = parts.every(part => asLabel(part) !== null) && Buffer.byteLength(text) <= JOINED_BYTES_MAX
  return { kind: fits ? 'id' : 'too-long', text }
}
