/**
 * `npm run bench:forged [-- --short]`: what a request costs that nobody could prove, of every preset.
 *
 * Every shape of `test/support/forged-requests.ts`, at 1 KiB and 1 MiB and with two secrets, is verified again and
 * again; its cost is the least CPU time of several rounds. It stands beside a plain HMAC-SHA256 of as many bytes in
 * the same run, and beside the bound: three of these and 1 ms. The worst shape of each preset is printed, the worst
 * preset first. `--short` takes fewer rounds; `--only NAME` takes one preset and prints every shape.
 */
import { createHmac, createSecretKey } from 'node:crypto'
import { cpus } from 'node:os'
import { verify } from '@sallyport/ingress/verify'
import { FORGED_PRESETS, forgedRequests } from '../support/forged-requests.ts'
import { scriptOptions } from '../support/script-options.ts'
import { codeOf, NOW_MS } from '../support/signed-request.ts'

const { short: SHORT, only: ONLY } = scriptOptions(import.meta.url, {
  short: { type: 'boolean', default: false },
  only: { type: 'string' },
})
const ROUNDS = SHORT ? 3 : 7
const ROUND_BYTES = 2_097_152
const SIZES = [1_024, 1_048_576]
const BOUND_PASSES = 3
const BOUND_MICROS = 1_000

interface Cost {
  readonly preset: string
  readonly shape: string
  readonly code: string
  readonly bytes: number
  readonly micros: number
  readonly plainMicros: number
  /** Of the bound: over 1 is too much. */
  readonly share: number
}

/** The least CPU time of one call, µs. */
async function cpuMicros(bytes: number, call: () => unknown): Promise<number> {
  const calls = Math.min(100, Math.max(1, Math.floor(ROUND_BYTES / (bytes + 20_000))))
  let least = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage()
    for (let i = 0; i < calls; i++) {
      const result = call()
      if (result instanceof Promise) await result
    }
    const { user, system } = process.cpuUsage(before)
    least = Math.min(least, (user + system) / calls)
  }
  return least
}

async function plainMicros(bytes: number): Promise<number> {
  const [key, body] = [createSecretKey(Buffer.from('c0ffee')), Buffer.alloc(bytes, 'a')]
  return await cpuMicros(bytes, () => createHmac('sha256', key).update(body).digest('hex'))
}

async function costs(preset: (typeof FORGED_PRESETS)[number]): Promise<Cost[]> {
  const all: Cost[] = []
  const plain = new Map<number, number>()
  for (const size of SIZES) {
    for (const { shape, source, request } of forgedRequests(preset, size)) {
      const bytes = request.body.length
      const code = codeOf(await verify(source, request, NOW_MS))
      if (!plain.has(bytes)) plain.set(bytes, await plainMicros(bytes))
      const beside = plain.get(bytes) as number
      const micros = await cpuMicros(bytes, () => verify(source, request, NOW_MS))
      const share = micros / (BOUND_PASSES * beside + BOUND_MICROS)
      all.push({ preset: preset.name, shape, code, bytes, micros, plainMicros: beside, share })
    }
  }
  return all.sort((a, b) => b.share - a.share)
}

function line(cells: readonly string[]): string {
  const widths = [22, 9, 10, 10, 7]
  return cells
    .map((cell, i) =>
      i === 0 ? cell.padEnd(widths[i] ?? 0) : i < 5 ? cell.padStart(widths[i] ?? 0) : `  ${cell}`,
    )
    .join('')
}

async function main(): Promise<void> {
  const worst: Cost[] = []
  for (const preset of FORGED_PRESETS) {
    if (ONLY !== undefined && preset.name !== ONLY) continue
    const all = await costs(preset)
    worst.push(...(ONLY === undefined ? all.slice(0, 1) : all))
  }
  worst.sort((a, b) => b.share - a.share)
  console.log(line(['preset', 'bytes', 'µs', 'HMAC µs', 'share', 'shape: answer']))
  for (const { preset, bytes, micros, plainMicros, share, shape, code } of worst) {
    const numbers = [String(bytes), micros.toFixed(0), plainMicros.toFixed(0), share.toFixed(2)]
    console.log(line([preset, ...numbers, `${shape}: ${code}`]))
  }
  const over = worst.filter(({ share }) => share > 1).length
  console.log(
    `${new Date().toISOString().slice(0, 10)}, ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}`,
  )
  console.log(`share of the bound, 3 × HMAC + 1 ms: ${over} of ${worst.length} over 1`)
}

await main()
process.exit()
