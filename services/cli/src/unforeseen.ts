import { errorMessage } from '@sallyport/core/errors'

/** How Node tells of what nobody caught. */
export type UnforeseenKind = 'rejection' | 'exception'

/** Takes what nobody caught over, within Node's event. Whoever does decides when, and whether, the process ends. */
type Meet = (error: unknown, kind: UnforeseenKind) => void

let meet: Meet | undefined

/** From now on `take` hears of what nobody caught, in place of the end of the process. */
export function meetUnforeseen(take: Meet): void {
  meet = take
}

/** Offers what nobody caught to whoever asked for it. False: nobody did. */
export function isMet(error: unknown, kind: UnforeseenKind): boolean {
  meet?.(error, kind)
  return meet !== undefined
}

/** What nobody caught, whatever it was, as the reason of an end that nobody foresaw. */
export class Unforeseen extends Error {
  constructor(error: unknown, stack: string | undefined) {
    super(errorMessage(error))
    this.stack = stack ?? `nobody caught ${this.message}`
  }
}
