import { type EventStory, eventStory, findIds } from '@sallyport/console/index/story'
import { colors } from '../colors.ts'
import { EXIT } from '../exit.ts'
import { notReadYet, withIndex } from '../index-access.ts'
import type { IndexOptions } from '../index-options.ts'
import { interruptible } from '../interruption.ts'
import { note, print, printDocument, table } from '../output.ts'
import { printable } from '../printable.ts'
import { bodyField } from './body-field.ts'
import { chapters } from './chapters.ts'
import { outcomeCell } from './outcome-cell.ts'
import { requestLine } from './request-line.ts'

interface ShowOptions extends IndexOptions {
  readonly json?: boolean
}

/** `sallyport events show`. */
export async function showEvent(id: string, options: ShowOptions): Promise<void> {
  await interruptible(signal =>
    withIndex(options, signal, async (database, behind) => {
      const ids = findIds(database, id.replace(/(…|\.\.\.)$/, ''))
      if (ids.length === 0 && behind > 0) throw notReadYet(behind)
      const story = ids.length === 1 ? eventStory(database, ids[0] as string) : undefined
      if (story === undefined) {
        process.exitCode = EXIT.nothing
        note(ids.length === 0 ? 'there is no such event' : 'several events begin so:')
        for (const candidate of ids) note(`  ${printable(candidate)}`)
      } else if (options.json) await printDocument(document(story, behind))
      else await printStory(story)
    }),
  )
}

async function printStory(story: EventStory): Promise<void> {
  const outcome = outcomeCell(story.outcome)
  const request = requestLine(story)
  const facts: [string, string][] = [
    ['source', story.source],
    ['type', story.type],
    ...(request === undefined ? [] : ([['request', request]] satisfies [string, string][])),
    ['scheme', story.scheme + (story.secretIndex === 0 ? '' : `, secret ${story.secretIndex + 1}`)],
    ['trace', story.traceId ?? 'none'],
    ['record', story.record ?? 'no longer in its topic'],
    ['deliveries', String(story.deliveries)],
    ...Object.entries(story.headers),
  ]
  await print(colors.bold(printable(story.id)))
  await print(`  outcome     ${typeof outcome === 'string' ? outcome : outcome.color(outcome.text)}`)
  for (const [name, value] of facts) await print(`  ${printable(name).padEnd(11)} ${printable(value)}`)
  await print()
  for (const line of table(['TIME', 'PROCESSOR', 'WHAT'], chapters(story))) await print(line)
  await print()
  await print(bodyTitle(story))
  for (const line of bodyLines(story.body)) await print(`  ${line}`)
}

function bodyTitle({ contentType, bodyBytes, body }: EventStory): string {
  const cut = body.length < bodyBytes ? `, of which the first ${body.length}` : ''
  return colors.dim(`body: ${printable(contentType ?? 'no content type')}, ${bodyBytes} bytes${cut}`)
}

/** JSON is set out; anything else keeps its lines. */
function bodyLines(body: Uint8Array): string[] {
  const text = new TextDecoder().decode(body)
  return setOut(text).split(/\r?\n/).map(printable)
}

function setOut(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text
  }
}

function document({ body, ...story }: EventStory, behind: number): object {
  return {
    ...story,
    acceptedAt: iso(story.acceptedAt),
    receivedAt: iso(story.receivedAt),
    sentAt: story.sentAt === null ? null : iso(story.sentAt),
    claims: story.claims.map(claim => ({ ...claim, at: iso(claim.at) })),
    steps: story.steps.map(step => ({ ...step, at: iso(step.at) })),
    operations: story.operations.map(operation => ({ ...operation, at: iso(operation.at) })),
    ...bodyField(body),
    bodyIsWhole: body.length === story.bodyBytes,
    behind,
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
