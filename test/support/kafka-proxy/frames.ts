import type { Socket } from 'node:net'

const LENGTH_BYTES = 4

/** Brokers take requests of up to 100 MiB by default. */
const FRAME_BYTES_MAX = 128 * 1_048_576

/**
 * Requests or answers from a socket, one after the other and whole, their length first. Ends when the socket does, in
 * whichever way; what does not speak Kafka's protocol is cut off.
 */
export async function* frames(socket: Socket): AsyncGenerator<Buffer> {
  const chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  let bytes: Buffer = Buffer.alloc(0)
  for (;;) {
    while (bytes.length < LENGTH_BYTES) {
      const more = await next(chunks)
      if (more === undefined) return
      bytes = Buffer.concat([bytes, more])
    }
    const end = LENGTH_BYTES + bytes.readInt32BE(0)
    if (end < LENGTH_BYTES || end > FRAME_BYTES_MAX) {
      socket.destroy()
      return
    }
    const parts = [bytes]
    for (let length = bytes.length; length < end; ) {
      const more = await next(chunks)
      if (more === undefined) return
      parts.push(more)
      length += more.length
    }
    bytes = parts.length === 1 ? bytes : Buffer.concat(parts)
    yield bytes.subarray(0, end)
    bytes = bytes.subarray(end)
  }
}

/** Resolves once the bytes have left, or can no longer. */
export async function send(socket: Socket, frame: Buffer): Promise<void> {
  if (socket.destroyed) return
  await new Promise<void>(resolve => socket.write(frame, () => resolve()))
}

async function next(chunks: AsyncIterator<Buffer>): Promise<Buffer | undefined> {
  try {
    const { value, done } = await chunks.next()
    return done ? undefined : value
  } catch {
    return undefined
  }
}
