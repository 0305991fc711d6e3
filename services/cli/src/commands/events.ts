import { OUTCOMES } from '@sallyport/console/index/outcome'
import { type Command, Option } from 'commander'
import { declareIndexOptions } from '../index-options.ts'
import { moment, wholeNumber } from '../option.ts'

const LIST_EXAMPLES = `
Outcomes, of several processors the worst:
  dead       some processor gave it up
  retrying   some processor failed and will try again
  processed  every processor that took it so far is done; one that is behind (sallyport lag) may yet take it
  passed     every processor has gone past it, and none says more: it is not for them, or older than the dedupe window
  waiting    no processor has taken it, and some have not come to it yet

Examples:
  sallyport events list --since 2h
  sallyport events list --source crm --outcome dead --json
  sallyport events list --text 'cannot sign in' --limit 5
  sallyport events list --text 'invoi*' --source stripe
  sallyport events list --since 2026-11-24T08:00Z --until 2026-11-24T09:00Z --type push

Ends with 3 where no event was found, and with 1 where the index is behind and may only not have read any.`

const SHOW_EXAMPLES = `
Examples:
  sallyport events show crm/0c4156bbf924c72a
  sallyport events show crm/0c4156bbf924c72a --json

The beginning of an id will do. Ends with 3 where there is no such event, or more than one, and with 1 where the index is
behind and may only not have read it.`

/** `sallyport events list|show`: reads the index. */
export function register(program: Command): void {
  const events = program.command('events').description('find events, and tell the whole story of one')
  const list = events
    .command('list')
    .description('list events, newest first')
    .option('-s, --source <name>', 'of this source')
    .option('-t, --type <type>', 'of this type')
    .addOption(new Option('-o, --outcome <outcome>', 'what has become of them').choices([...OUTCOMES]))
    .option('--since <time>', 'accepted since: so long ago, like 2h, or ISO 8601', moment)
    .option('--until <time>', 'accepted before', moment)
    .option('--text <words>', 'words of the body, in this order; a * ends the beginning of a word')
    .option('-n, --limit <count>', 'most events to list', wholeNumber(1, 10_000), 50)
    .option(
      '--before <cursor>',
      'the page behind the one that named this cursor',
      wholeNumber(0, Number.MAX_SAFE_INTEGER),
    )
    .option('--json', 'one JSON document')
  declareIndexOptions(list)
    .addHelpText('after', LIST_EXAMPLES)
    .action(async options => await (await import('../events/list.ts')).listEvents(options))
  const show = events
    .command('show')
    .description('tell the whole story of an event: accepted, each attempt, outcome, redrives')
    .argument('<id>', 'event id, or its beginning')
    .option('--json', 'one JSON document')
  declareIndexOptions(show)
    .addHelpText('after', SHOW_EXAMPLES)
    .action(async (id, options) => await (await import('../events/show.ts')).showEvent(id, options))
}
