import { totalmem } from 'node:os'
import { getHeapStatistics } from 'node:v8'
import { SallyportError } from '@sallyport/core/errors'
import type { Settings } from '@sallyport/core/settings'

/** What a process may use. */
export interface Machine {
  /** The machine's memory, or the container's, bytes. */
  readonly memoryBytes: number
  /** The limit of V8's heap, bytes. */
  readonly heapBytes: number
}

/** How much of it the processors use, bytes. */
export interface MemoryLimits {
  /** For records and claims together. */
  readonly bytesMax: number
  readonly recordsBytesMax: number
  readonly claimsBytesMax: number
}

const CLAIMS_BYTES_DEFAULT = 2 ** 30
/** What claims may take of all; records keep the rest (K4). */
const CLAIMS_SHARE = 4 / 5
/** The rest is for the runtime, the buffers of connections, and other services of the process. */
const MEMORY_SHARE = 1 / 2
/** A record is an object with its headers beside its bytes, and V8 needs room for those that come and go. */
const HEAP_SHARE = 1 / 2

/** What this process may use: the least of the machine's memory and its container's, and V8's heap. */
function thisMachine(): Machine {
  const container = process.constrainedMemory()
  const memoryBytes = container > 0 ? Math.min(container, totalmem()) : totalmem()
  return { memoryBytes, heapBytes: getHeapStatistics().heap_size_limit }
}

/**
 * The limits that follow from the settings and from the machine. Throws `SP_SETTINGS` where the settings leave records
 * nothing.
 */
export function memoryLimits({ file, processing }: Settings, machine: Machine = thisMachine()): MemoryLimits {
  const { memoryBytesMax, claimsBytesMax } = processing
  const claimsWanted = claimsBytesMax ?? CLAIMS_BYTES_DEFAULT
  // Whoever names the claims' memory has it.
  const needed = claimsBytesMax === undefined ? 0 : Math.ceil(claimsBytesMax / CLAIMS_SHARE)
  const bytesMax = memoryBytesMax ?? Math.max(Math.floor(machine.memoryBytes * MEMORY_SHARE), needed)
  if (needed > bytesMax) {
    throw new SallyportError(
      'SP_SETTINGS',
      `${file}: processing.claimsBytesMax is ${claimsBytesMax}, more than four fifths of processing.memoryBytesMax (${bytesMax}), and records need memory too: lower it, or raise memoryBytesMax to ${needed}`,
    )
  }
  return {
    bytesMax,
    recordsBytesMax: Math.min(bytesMax, Math.floor(machine.heapBytes * HEAP_SHARE)),
    claimsBytesMax: Math.min(claimsWanted, Math.floor(bytesMax * CLAIMS_SHARE)),
  }
}
