/** A non-negative number below 2^30 as a zigzag varint, which for those is the number doubled. */
export function writeVarint(buffer: Buffer, start: number, value: number): number {
  let at = start
  let rest = value << 1
  while (rest > 0x7f) {
    buffer[at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  buffer[at++] = rest
  return at
}

/** What `writeVarint` writes, bytes. */
export function varintBytes(value: number): number {
  if (value < 0x40) return 1
  if (value < 0x2000) return 2
  if (value < 0x10_0000) return 3
  return value < 0x800_0000 ? 4 : 5
}
