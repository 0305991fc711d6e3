/** For `node --import`: this process's clock is off by TEST_CLOCK_OFFSET_MS, as that of a host whose clock nobody set. */
const offsetMs = Number(process.env.TEST_CLOCK_OFFSET_MS)
const TrueDate = Date
const startedAt = performance.timeOrigin + offsetMs

globalThis.Date = class extends TrueDate {
  constructor(...args: unknown[]) {
    super(...((args.length === 0 ? [TrueDate.now() + offsetMs] : args) as [number]))
  }

  static override now(): number {
    return TrueDate.now() + offsetMs
  }
} as DateConstructor

Object.defineProperty(performance, 'timeOrigin', { value: startedAt })
