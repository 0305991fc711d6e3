/**
 * Rules say what happens to a request on its way. A rule is asked before the broker gets the request, and the request,
 * with all that come behind it on its connection, waits until the rule has answered: to delay a request is to answer
 * later. `link.ts` does what it answers.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { KafkaRequest } from './request.ts'

/** What happens to a request; nothing said: it goes to the broker, and the answer comes back. */
export interface Treatment {
  /** Later requests of its connection overtake it: it goes to the broker by itself, when this is settled. */
  readonly asideUntil?: Promise<unknown>
  /** It never reaches the broker, and the client loses its connection. */
  readonly isLost?: true
  /** `drop`: the answer never comes. `cut`: the client loses its connection as soon as the broker has the request. */
  readonly answer?: 'drop' | 'cut'
  /** What the client gets instead of the broker's answer; both are whole, their lengths first. */
  readonly rewrite?: (answer: Buffer) => Buffer
}

export type Rule = (request: KafkaRequest) => Treatment | undefined | Promise<Treatment | undefined>

/** Whether a rule is about a request. */
export type Matches = (request: KafkaRequest) => boolean

/** Sends a copy of a request on a connection of its own; resolves with the broker's answer. */
export type SendAgain = (request: KafkaRequest) => Promise<Buffer>

/** Nothing happens to any request. */
export const untouched: Rule = () => undefined

/** Every rule sees every request, in turn; what they answer is done together. */
export function together(...rules: readonly Rule[]): Rule {
  return async request => {
    let treatment: Treatment | undefined
    for (const rule of rules) {
      const answered = await rule(request)
      if (answered !== undefined) treatment = { ...treatment, ...answered }
    }
    return treatment
  }
}

/** The request and all behind it on its connection come later. */
export function delay(matches: Matches, ms: number): Rule {
  return async request => {
    if (matches(request)) await sleep(ms)
    return undefined
  }
}

/** The request comes later, and those behind it on its connection overtake it. */
export function overtake(matches: Matches, ms: number): Rule {
  return request => (matches(request) ? { asideUntil: sleep(ms) } : undefined)
}

/** The request comes again `ms` after it was sent. */
export function duplicate(matches: Matches, ms: number, sendAgain: SendAgain): Rule {
  return request => {
    if (matches(request)) void sleep(ms).then(() => sendAgain(request).catch(() => {}))
    return undefined
  }
}

/** The broker does what it is asked, and nobody hears of it. */
export function dropAnswer(matches: Matches): Rule {
  return request => (matches(request) ? { answer: 'drop' } : undefined)
}

/** The connection is gone before the broker gets the request. */
export function lose(matches: Matches): Rule {
  return request => (matches(request) ? { isLost: true } : undefined)
}

/** The broker gets the request, and the connection is gone. */
export function cut(matches: Matches): Rule {
  return request => (matches(request) ? { answer: 'cut' } : undefined)
}

/** Matches requests of these APIs. */
export function ofApi(...apis: readonly string[]): Matches {
  return ({ api }) => apis.includes(api)
}

/** Matches the nth of those that another one matches, from 1. */
export function nth(n: number, matches: Matches): Matches {
  let count = 0
  return request => matches(request) && ++count === n
}
