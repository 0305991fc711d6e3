import fc from 'fast-check'

export interface Mutation {
  readonly kind: string
  readonly at: number
  readonly character: string
}

/** One character replaced, added or removed, or its case changed. */
export const mutation: fc.Arbitrary<Mutation> = fc.record({
  kind: fc.constantFrom('replace', 'insert', 'remove', 'case'),
  // The end is where padding and spare bits are: it is met more often than by chance.
  at: fc.oneof(fc.nat(), fc.integer({ min: -4, max: -1 })),
  character: fc.oneof(
    fc.constantFrom(...'0123456789abcdefABCDEF+/-_=,. v'),
    fc.string({ minLength: 1, maxLength: 1, unit: 'binary' }),
  ),
})

export function mutate(text: string, { kind, at, character }: Mutation): string {
  const i = at < 0 ? Math.max(0, text.length + at) : at % Math.max(1, text.length)
  if (kind === 'insert') return text.slice(0, i) + character + text.slice(i)
  if (kind === 'remove') return text.slice(0, i) + text.slice(i + 1)
  if (kind === 'case') return text.slice(0, i) + swapCase(text.charAt(i)) + text.slice(i + 1)
  return text.slice(0, i) + character + text.slice(i + 1)
}

function swapCase(character: string): string {
  return character === character.toLowerCase() ? character.toUpperCase() : character.toLowerCase()
}
