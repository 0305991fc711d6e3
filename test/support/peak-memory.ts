/**
 * Loaded before the product (`node --import`): says at the end how much memory the process had at most and how much it
 * held at most (what is left when the garbage is collected), in KiB.
 */
import { writeSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

const SAMPLE_MS = 200

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
let held = 0

function sample(): void {
  collect()
  const { heapUsed, external } = process.memoryUsage()
  held = Math.max(held, (heapUsed + external) / 1_024)
}

setInterval(sample, SAMPLE_MS).unref()
process.on('exit', () => {
  sample()
  writeSync(2, `#peak ${process.resourceUsage().maxRSS} held ${Math.round(held)}\n`)
})
