/**
 * What is known of clients, by address: at most so many entries, however many addresses come by.
 *
 * An entry that is in use stays; those are as few as connections and requests. Of the others the longest-known goes
 * first, and each new client lets two go that have nothing left to be known for.
 */
export interface Known {
  /** Something counts on this entry: a connection, a body. */
  inUse(): boolean
  /** Nothing is known that would be missed. */
  forgettable(): boolean
}

const LOOKS = 2

export class ClientTable<Entry extends Known> {
  readonly #entries = new Map<string, Entry>()
  readonly #entriesMax: number
  readonly #create: () => Entry

  constructor(entriesMax: number, create: () => Entry) {
    this.#entriesMax = entriesMax
    this.#create = create
  }

  get size(): number {
    return this.#entries.size
  }

  /** The entry of a client; a new one where it is not known. */
  of(client: string): Entry {
    const known = this.#entries.get(client)
    if (known !== undefined) return known
    this.#makeRoom()
    const entry = this.#create()
    this.#entries.set(client, entry)
    return entry
  }

  #makeRoom(): void {
    let looks = 0
    const looksMax = this.#entries.size
    for (const [client, entry] of this.#entries) {
      const full = this.#entries.size >= this.#entriesMax
      if (looks >= (full ? looksMax : LOOKS)) return
      looks++
      this.#entries.delete(client)
      // Looked at again after all others.
      if (entry.inUse() || !(full || entry.forgettable())) this.#entries.set(client, entry)
    }
  }
}
