import type { Event } from '@sallyport/core/event'

/** Method and query of an event that has data there, for people; undefined where all of it is in the body. */
export function requestLine({ method, query }: Partial<Pick<Event, 'method' | 'query'>>): string | undefined {
  const isPlain = (method ?? null) === null && (query ?? null) === null
  return isPlain
    ? undefined
    : `${method ?? 'POST'}${query === null || query === undefined ? '' : ` ?${query}`}`
}
