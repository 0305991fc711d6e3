import type { Log } from '@sallyport/core/log'
import type { Problem } from './problem.ts'

const SUMMARY_MS = 10_000

/**
 * Says which deliveries are refused, without letting whoever sends them fill the disk: the first of a kind at once,
 * then one line per kind and ten seconds with their count. A kind is a source and a code, so there are few.
 */
export class RefusalLog {
  readonly #log: Log
  readonly #counts = new Map<string, { source: string; problem: Problem; count: number }>()
  #timer: NodeJS.Timeout | undefined

  constructor(log: Log) {
    this.#log = log
  }

  /** `source` is a configured name, or `-` where the request named none. */
  refused(source: string, problem: Problem): void {
    const kind = `${source} ${problem.code}`
    const seen = this.#counts.get(kind)
    if (seen !== undefined) {
      seen.count++
      return
    }
    this.#counts.set(kind, { source, problem, count: 0 })
    this.#write(source, problem, 1)
    this.#timer ??= setTimeout(() => this.#summarize(), SUMMARY_MS).unref()
  }

  #summarize(): void {
    this.#timer = undefined
    const kinds = [...this.#counts.values()]
    this.#counts.clear()
    for (const { source, problem, count } of kinds) if (count > 0) this.#write(source, problem, count)
  }

  #write(source: string, problem: Problem, count: number): void {
    const { status, code, detail } = problem
    this.#log.warn({ source, status, code, detail, count }, 'deliveries refused')
  }
}
