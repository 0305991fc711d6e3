/** Whether the items of JSON lists differ, in a time that grows with the length of the whole body, not with its square. */

/** Numbers that stand for the values of one body: equal ones have one, whatever the order of their members. */
export class Numbering {
  readonly #scalars = new Map<unknown, number>()
  readonly #known = new Map<object, number>()
  /** Lists and objects by the numbers of what they hold. */
  readonly #byParts = new Map<string, number>()
  #next = 0

  of(value: unknown): number {
    if (typeof value !== 'object' || value === null) return this.#numberOf(this.#scalars, value)
    const known = this.#known.get(value)
    if (known !== undefined) return known
    const number = this.#numberOf(this.#byParts, this.#partsOf(value))
    this.#known.set(value, number)
    return number
  }

  #partsOf(value: object): string {
    if (Array.isArray(value)) return `[${value.map(item => this.of(item)).join()}`
    const members = Object.keys(value).sort()
    return `{${members.map(name => `${this.of(name)}:${this.of((value as Record<string, unknown>)[name])}`).join()}`
  }

  #numberOf<K>(numbers: Map<K, number>, key: K): number {
    const known = numbers.get(key)
    if (known !== undefined) return known
    numbers.set(key, this.#next)
    return this.#next++
  }
}

/** Equal as JSON Schema has it: 1 and 1.0, and objects whose members stand in another order. */
export function areUnique(items: readonly unknown[], numbering: Numbering): boolean {
  const seen = new Set(items.map(item => numbering.of(item)))
  return seen.size === items.length
}
