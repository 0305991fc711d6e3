import type { EventOutcome } from '@sallyport/console/index/outcome'
import { type EventPage, type ListedEvent, searchEvents } from '@sallyport/console/index/search'
import { EXIT, UsageError } from '../exit.ts'
import { notReadYet, withIndex } from '../index-access.ts'
import type { IndexOptions } from '../index-options.ts'
import { interruptible } from '../interruption.ts'
import { note, print, printDocument, table } from '../output.ts'
import { outcomeCell } from './outcome-cell.ts'

interface ListOptions extends IndexOptions {
  readonly source?: string
  readonly type?: string
  readonly outcome?: EventOutcome
  readonly since?: number
  readonly until?: number
  readonly text?: string
  readonly limit: number
  readonly before?: number
  readonly json?: boolean
}

/** `sallyport events list`. */
export async function listEvents(options: ListOptions): Promise<void> {
  const { since: sinceMs, until: untilMs, limit, json, ...rest } = options
  if (sinceMs !== undefined && untilMs !== undefined && sinceMs >= untilMs) {
    throw new UsageError('--since is not before --until: no event can lie between')
  }
  if (options.text !== undefined && !/[\p{L}\p{N}]/u.test(options.text)) {
    throw new UsageError('--text has no word in it')
  }
  const filter = {
    ...rest,
    ...(sinceMs === undefined ? {} : { sinceMs }),
    ...(untilMs === undefined ? {} : { untilMs }),
  }
  await interruptible(signal =>
    withIndex(options, signal, async (database, behind) => {
      const page = searchEvents(database, filter, limit)
      if (page.events.length === 0 && behind > 0) throw notReadYet(behind)
      if (json) await printDocument(document(page, behind))
      else await printPage(page)
      if (page.events.length === 0) process.exitCode = EXIT.nothing
    }),
  )
}

async function printPage({ events, next }: EventPage): Promise<void> {
  if (events.length === 0) {
    note('no event was found')
    return
  }
  const heading = ['ACCEPTED', 'OUTCOME', 'SOURCE', 'TYPE', 'ID']
  for (const line of table(heading, events.map(row))) await print(line)
  if (next !== undefined) note(`there are more: --before ${next}`)
}

function row({ acceptedAt, outcome, source, type, id }: ListedEvent) {
  return [new Date(acceptedAt).toISOString(), outcomeCell(outcome), source, type, id]
}

function document({ events, next }: EventPage, behind: number): object {
  return {
    events: events.map(({ seq: _, ...event }) => ({
      ...event,
      acceptedAt: new Date(event.acceptedAt).toISOString(),
    })),
    next: next ?? null,
    behind,
  }
}
