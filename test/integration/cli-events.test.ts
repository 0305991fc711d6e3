/** The commands that read, as users run them, on a real broker. */
import assert from 'node:assert/strict'
import { type Event, eventId } from '@sallyport/core/event'
import { Fatal } from '@sallyport/processor'
import { Cli } from '../support/cli.ts'
import type { Cluster } from '../support/cluster.ts'
import { eventOf, Topics, TRACEPARENT } from '../support/events.ts'
import { agentEvent, PARTITIONS, type TestProcessor, testProcessor } from '../support/processor.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

/** Sets a window's title, clears the screen, moves up, overwrites, turns text round. */
const HOSTILE = '\u001b]0;owned\u0007\u001b[2J\u009b1A\rok\b\u202etxt.exe\u2066\n\u2028\u007f'
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what must not be there
const OBEYED = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/

interface Listed {
  readonly events: readonly {
    id: string
    type: string
    outcome: string
    traceId: string
    acceptedAt: string
  }[]
  readonly next: number | null
  readonly behind: number
}

describe('the commands that read', function () {
  this.timeout(300_000)
  let cluster: Cluster
  let topics: Topics
  let processor: TestProcessor
  let cli: Cli
  let source: string
  let events: Event[]

  before(async () => {
    cluster = await sharedCluster()
    topics = new Topics(cluster, PARTITIONS)
    processor = testProcessor(cluster, async (event, { attempt, emit }) => {
      const { failing } = JSON.parse(event.body.toString())
      if (failing === 'always') throw new Error(`no luck ${HOSTILE}`)
      if (failing === 'once' && attempt === 1) throw new Error('not yet')
      if (failing === 'fatal') throw new Fatal('no use')
      emit(processor.output, agentEvent(event.id, attempt))
    })
    source = processor.source
    await processor.start()
    events = [
      eventOf(source, { ticket: 'T-100', note: 'Kunde kann sich nicht anmelden: caf\u00e9' }),
      eventOf(source, { ticket: 'T-200', failing: 'always', note: HOSTILE }),
      eventOf(source, { ticket: 'T-300', failing: 'once' }),
      { ...eventOf(source, { ticket: 'T-400', failing: 'fatal' }), type: `type ${HOSTILE}` },
      {
        ...eventOf(source, { ticket: 'T-500' }),
        type: 'other',
        senderId: HOSTILE,
        headers: { 'x-note': HOSTILE },
      },
    ]
    await topics.append(events)
    // One delivery came twice.
    await topics.append(events.slice(0, 1))
    const { deadLetter } = processor.config.topics
    await topics.read(deadLetter, ({ key }) => key?.startsWith(source) === true, 2)
    await topics.read(processor.output, ({ key }) => key?.startsWith(source) === true, 3)
    cli = new Cli(cluster)
  })

  after(async () => {
    await processor.stop()
    await topics.close()
  })

  async function list(...args: string[]): Promise<Listed> {
    return await cli.json<Listed>(['events', 'list', '--source', source, ...args])
  }

  async function ids(...args: string[]): Promise<string[]> {
    return (await list(...args)).events.map(({ id }) => id).sort()
  }

  function idsOf(...numbers: number[]): string[] {
    return numbers.map(n => events[n]?.id as string).sort()
  }

  describe('events list', () => {
    it('lists each event once with its outcome and its trace, as JSON and as a table', async () => {
      const { events: listed, next, behind } = await list()
      assert.deepEqual([listed.length, next, behind], [5, null, 0])
      const outcomes = Object.fromEntries(listed.map(({ id, outcome }) => [id, outcome]))
      assert.deepEqual(
        events.map(({ id }) => outcomes[id]),
        ['processed', 'dead', 'processed', 'dead', 'processed'],
      )
      assert.ok(listed.every(({ traceId }) => TRACEPARENT.includes(traceId)))
      const { code, stdout, stderr } = await cli.run(['events', 'list', '--source', source])
      assert.deepEqual([code, stderr], [0, ''])
      const [heading, ...lines] = stdout.trimEnd().split('\n')
      assert.match(heading as string, /^ACCEPTED +OUTCOME +SOURCE +TYPE +ID$/)
      assert.deepEqual(lines.map(line => line.split(/ +/).at(-1)).sort(), idsOf(0, 1, 2, 3, 4))
      assert.doesNotMatch(stdout, OBEYED)
    })

    it('filters by type, outcome, time and words of the body', async () => {
      const filters: [string[], string[]][] = [
        [['--type', 'other'], idsOf(4)],
        [['--outcome', 'dead'], idsOf(1, 3)],
        [['--since', '1h', '--until', '2999-01-01'], idsOf(0, 1, 2, 3, 4)],
        [['--text', 'T-300'], idsOf(2)],
        [['--text', 'sich nicht anmel*'], idsOf(0)],
        [['--text', 'cafe'], idsOf(0)],
        [['--text', 'failing always', '--outcome', 'dead'], idsOf(1)],
      ]
      assert.deepEqual(
        await Promise.all(filters.map(([args]) => ids(...args))),
        filters.map(([, wanted]) => wanted),
      )
      const nothing = [
        ['--text', 'nicht sich'],
        ['--since', '2998-01-01'],
        ['--outcome', 'retrying'],
      ]
      for (const none of await Promise.all(
        nothing.map(filter => cli.run(['events', 'list', '--source', source, ...filter])),
      ))
        assert.deepEqual(none, { code: 3, stdout: '', stderr: 'no event was found\n' })
    })

    it('goes on behind a page where the page before ended', async () => {
      const found: string[] = []
      for (let before: string[] = []; ; ) {
        const { events: page, next } = await list('--limit', '3', ...before)
        found.push(...page.map(({ id }) => id))
        if (next === null) break
        before = ['--before', String(next)]
      }
      assert.deepEqual(found.sort(), idsOf(0, 1, 2, 3, 4))
    })

    it('refuses filters that cannot be meant, and asks no broker', async () => {
      const nowhere = new Cli({ brokers: ['127.0.0.1:9'], registryUrl: 'http://127.0.0.1:9' })
      const wrong: [string[], RegExp][] = [
        [['--since', 'yesterday'], /--since.*it is no time/],
        [['--since', '1h', '--until', '2h'], /--since is not before --until/],
        [['--outcome', 'lost'], /--outcome.*Allowed choices are waiting, passed/],
        [['--limit', '0'], /--limit.*whole number from 1/],
        [['--before', 'x'], /--before/],
        [['--text', '--'], /--text/],
        [['--text', '!?'], /--text has no word/],
        [['--sauce', 'crm'], /unknown option/],
      ]
      const ends = await Promise.all(wrong.map(([args]) => nowhere.run(['events', 'list', ...args])))
      for (const [i, { code, stdout, stderr }] of ends.entries()) {
        const [args, complaint] = wrong[i] as [string[], RegExp]
        assert.deepEqual([code, stdout], [2, ''], args.join(' '))
        assert.match(stderr, complaint)
      }
    })

    it('says the same from an index that was filled anew', async () => {
      const anew = new Cli(cluster)
      const [filled, kept] = await Promise.all([
        anew.json<Listed>(['events', 'list', '--source', source]),
        list(),
      ])
      assert.deepEqual(filled, kept)
    })
  })

  describe('events show', () => {
    interface Story {
      readonly outcome: string
      readonly deliveries: number
      readonly body: string
      readonly steps: readonly {
        kind: string
        failed?: { attempt: number }
        reason?: string
        record: string
      }[]
      readonly claims: readonly { outcome: string; attempt: number }[]
    }

    it('tells each attempt of a dead event, its dead letter and its body', async () => {
      const id = events[1]?.id as string
      const story = await cli.json<Story>(['events', 'show', id])
      assert.equal(story.outcome, 'dead')
      assert.deepEqual(
        story.steps.map(({ kind, failed }) => [kind, failed?.attempt]),
        [
          ['retry', 1],
          ['retry', 2],
          ['dead letter', undefined],
        ],
      )
      assert.equal(story.steps.at(-1)?.reason, 'exhausted')
      assert.deepEqual(JSON.parse(story.body), { ticket: 'T-200', failing: 'always', note: HOSTILE })
      const { code, stdout } = await cli.run(['events', 'show', id])
      assert.equal(code, 0)
      assert.doesNotMatch(stdout, OBEYED)
      assert.match(
        stdout,
        /accepted\n(.*\n)*.*attempt 1 failed.*no luck.*tier 1\n(.*\n)*.*attempt 2 failed.*tier 2\n/,
      )
      assert.match(stdout, /dead letter after attempt 3, exhausted: SP_HANDLER_FAILED/)
      assert.match(stdout, new RegExp(`trace +${TRACEPARENT.slice(3, 35)}`))
    })

    it('tells of a second delivery, and of the attempt that succeeded', async () => {
      const twice = await cli.json<Story>(['events', 'show', events[0]?.id as string])
      assert.deepEqual([twice.deliveries, twice.claims.map(({ outcome }) => outcome)], [2, ['processed']])
      const { code, stdout, stderr } = await cli.run(['events', 'show', events[2]?.id as string])
      assert.deepEqual([code, stderr], [0, ''])
      assert.match(stdout, /attempt 1 failed.*not yet.*tier 1\n.*processed, attempt 2/)
    })

    it('prints what a sender wrote as text, not as commands to the terminal', async () => {
      const shown = [3, 4].flatMap(n =>
        [[], ['--json']].map(args => cli.run(['events', 'show', events[n]?.id as string, ...args])),
      )
      for (const { code, stdout } of await Promise.all(shown)) {
        assert.equal(code, 0)
        assert.doesNotMatch(stdout, OBEYED)
        assert.match(stdout, /1b/)
      }
    })

    it('takes the beginning of an id, and says when several events begin so or none', async () => {
      const id = events[0]?.id as string
      assert.match((await cli.run(['events', 'show', `${id.slice(0, -6)}…`])).stdout, new RegExp(id))
      const several = await cli.run(['events', 'show', eventId(source, '')])
      assert.deepEqual([several.code, several.stdout], [3, ''])
      assert.match(several.stderr, /several events begin so:\n {2}test-/)
      const none = await cli.run(['events', 'show', 'crm/nothing', '--json'])
      assert.deepEqual(none, { code: 3, stdout: '', stderr: 'there is no such event\n' })
    })
  })

  describe('an index that is behind', () => {
    // Too short for any reading.
    const WAIT = ['--wait', '1ms']

    it('says so, and what to do, instead of denying an event that it has not read', async () => {
      const anew = new Cli(cluster)
      for (const args of [
        ['show', events[0]?.id as string],
        ['show', 'crm/nothing', '--json'],
        ['list', '--json'],
      ]) {
        const { code, stdout, stderr } = await anew.run(['events', ...args, ...WAIT])
        assert.deepEqual([code, stdout], [1, ''], stderr)
        assert.match(stderr, /^SP_INDEX: .*is \d+ records behind: run it again, .*--wait.*sallyport index\n$/)
      }
    })

    it('tells how far beside what it has', async () => {
      assert.equal((await list()).behind, 0)
      await topics.append([eventOf('other-source', {})])
      const id = events[0]?.id as string
      const { code, stdout, stderr } = await cli.run(['events', 'show', id, '--json', ...WAIT])
      assert.equal(code, 0, stderr)
      const story = JSON.parse(stdout) as { id: string; behind: number }
      assert.equal(story.id, id)
      assert.ok(story.behind > 0)
      assert.match(stderr, new RegExp(`is ${story.behind} records behind, so this may not be all`))
    })
  })

  describe('tail', () => {
    it('shows what comes, decoded and filtered, as lines and as JSON lines, until Ctrl-C', async () => {
      const text = cli.start(['tail', '--source', source, '--body'])
      const json = cli.start(['tail', '--source', source, '--kind', 'accepted', 'dead-letter', '--json'])
      const other = eventOf('other-source', { ticket: 'T-0' })
      // Until both are there: what comes before they have joined is not theirs to show.
      const probe = setInterval(() => void topics.append([eventOf(source, { probe: HOSTILE })]), 500)
      await Promise.all([text.prints('probe'), json.prints('probe')])
      clearInterval(probe)
      const last = eventOf(source, { failing: 'fatal', last: true })
      await topics.append([other, last])
      await Promise.all([text.prints(/dead-letter .*no use/), json.prints(/"kind":"dead-letter"/)])
      for (const { child } of [text, json]) child.kill('SIGINT')
      const [textEnd, jsonEnd] = await Promise.all([text.ended, json.ended])
      assert.deepEqual([textEnd.code, jsonEnd.code], ['SIGINT', 'SIGINT'])
      assert.doesNotMatch(textEnd.stdout, OBEYED)
      assert.match(textEnd.stdout, /^\S+ accepted test-\w+ test test-/)
      assert.ok(!textEnd.stdout.includes('T-0'))
      const lines = jsonEnd.stdout
        .trimEnd()
        .split('\n')
        .map(line => JSON.parse(line))
      const [accepted, dead] = lines.filter(({ id }) => id === last.id)
      assert.deepEqual([accepted.kind, accepted.body], ['accepted', last.body.toString()])
      assert.deepEqual(
        [dead.kind, dead.processor, dead.reason],
        ['dead-letter', processor.config.name, 'no use'],
      )
      assert.doesNotMatch(jsonEnd.stdout, OBEYED)
    })

    it('ends without a complaint when its reader has had enough', async () => {
      const running = cli.start(['tail', '--source', source])
      const probe = setInterval(() => void topics.append([eventOf(source, { probe: true })]), 500)
      await running.prints('accepted')
      running.child.stdout?.destroy()
      const { code, stderr } = await running.ended
      clearInterval(probe)
      assert.deepEqual([code, stderr], [0, ''])
    })
  })

  // Behind all others, for it comes with an event of its own.
  describe('through outages', () => {
    it('a broker that does not answer is an error that says so, from every command', async () => {
      const nowhere = new Cli({ brokers: ['127.0.0.1:9'], registryUrl: 'http://127.0.0.1:9' })
      const ends = await Promise.all(
        [['events', 'list'], ['events', 'show', 'crm/1'], ['lag'], ['tail']].map(args => nowhere.run(args)),
      )
      for (const { code, stdout, stderr } of ends) {
        assert.deepEqual([code, stdout], [1, ''])
        assert.match(stderr, /^SP_BROKER_UNREACHABLE: .*KAFKA_BROKERS.*\n$/)
      }
    })

    it('a registry that is away is an error that says so, and the next search has everything', async () => {
      const late = eventOf(source, { ticket: 'T-600' })
      await topics.append([late])
      const away = { env: { SCHEMA_REGISTRY_URL: 'http://127.0.0.1:9' } }
      const { code, stdout, stderr } = await cli.run(['events', 'list', '--source', source], away)
      assert.deepEqual([code, stdout], [1, ''])
      assert.match(stderr, /^SP_REGISTRY_UNREACHABLE: .*SCHEMA_REGISTRY_URL.*\n$/)
      assert.deepEqual(await ids('--text', 'T-600'), [late.id])
    })
  })
})
