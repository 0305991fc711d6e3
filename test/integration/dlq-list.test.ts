/** `sallyport dlq list`, `show` and `discard`: the real binary on a real broker, on dead letters that nobody processes. */
import assert from 'node:assert/strict'
import { appendDeadLetters } from '../support/dead-letters.ts'
import { Operator } from '../support/operator.ts'

/** Moves the cursor, sets the window's title, turns the text round. */
const HOSTILE = '\u001b]0;owned\u0007\u009b2J\u202e'
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what must not be there
const OBEYED = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/

describe('dead letters', function () {
  // Each command is a process, and a busy machine takes its time.
  this.timeout(300_000)
  let operator: Operator

  beforeEach(async () => {
    operator = await Operator.withTopics()
  })
  afterEach(() => operator.leave())

  async function letters(count: number, more: { body?: object; message?: string } = {}): Promise<string[]> {
    const { config, source } = operator.processor
    return await appendDeadLetters(operator.topics, config.name, source, count, more)
  }

  it('are picked by source, type, reason, code, text and time, and a limit bounds them', async () => {
    await letters(12, { body: { city: 'Rome' } })
    const filters: [string[], number][] = [
      [['--text', '"n":7,'], 1],
      [['--text', 'Rome', '--type', 'other', '--source', operator.processor.source], 10],
      [['--reason', 'exhausted', '--code', 'SP_HANDLER_FAILED', '--from', '1h'], 12],
      [['--limit', '5'], 5],
      [['--reason', 'fatal', '--reason', 'poison'], 0],
      [['--to', '1h'], 0],
    ]
    const found = await Promise.all(filters.map(async ([args]) => (await operator.listed(...args)).length))
    assert.deepEqual(
      found,
      filters.map(([, wanted]) => wanted),
    )
  })

  it('that are discarded are hidden and stay where they are', async () => {
    const [first, second] = (await letters(4)) as [string, string]
    const plan = await operator.dlq('discard', first, second)
    assert.equal(plan.code, 0)
    assert.match(plan.stdout, /would hide 2 dead letters/)
    assert.equal(await operator.auditRecords(), 0)
    const done = await operator.dlq('discard', first, second, '--yes', '--json')
    assert.equal(JSON.parse(done.stdout).operation.handled, 2)
    const [left, hidden, redrive] = await Promise.all([
      operator.listed(),
      operator.listed('--state', 'discarded'),
      operator.dlq('redrive', '--json'),
    ])
    assert.equal(left.length, 2)
    assert.deepEqual(hidden.map(({ id }) => id).sort(), [first, second])
    assert.equal(JSON.parse(redrive.stdout).plan.leftOut.discarded, 2)
    assert.equal((await operator.own('deadLetter')).length, 4)
  })

  it('are not all discarded for want of a name, which a shell may have taken away', async () => {
    await letters(2)
    const discard = ['dlq', 'discard', '--processor', operator.processor.config.name, '--yes']
    const [nameless, contradictory] = await Promise.all([
      operator.cli.run(discard),
      operator.dlq('discard', '--all', '--yes'),
    ])
    assert.deepEqual([nameless.code, contradictory.code], [2, 2])
    assert.match(nameless.stderr, /--all for every dead letter/)
    assert.equal(await operator.auditRecords(), 0)
    assert.equal((await operator.cli.run([...discard, '--all'])).code, 0)
    assert.equal((await operator.listed('--state', 'discarded')).length, 2)
  })

  it('are shown so that what a stranger wrote cannot steer the terminal', async () => {
    const [id] = (await letters(1, { body: { text: HOSTILE }, message: `down ${HOSTILE}` })) as [string]
    const [json, ...texts] = await Promise.all([
      operator.dlq('show', id, '--json'),
      operator.dlq('list'),
      operator.dlq('show', id),
      operator.dlq('redrive'),
    ])
    for (const { code, stdout, stderr } of texts) {
      assert.equal(code, 0, stderr)
      assert.doesNotMatch(stdout, OBEYED)
    }
    const shown = JSON.parse(json.stdout).deadLetters[0]
    assert.deepEqual([JSON.parse(shown.body).text, shown.message], [HOSTILE, `down ${HOSTILE}`])
  })

  it('that nobody has, wrong filters and unknown operations say so, each with its exit code', async () => {
    await letters(1)
    const wrong = [
      ['--reason', 'bored'],
      ['--state', 'alive'],
      ['--from', 'yesterday'],
      ['--limit', '0'],
      ['--text', ''],
      ['--code', ''],
    ]
    const [unknown, missing, resumed, cancelled, foreign, both, other, gone, ...refused] = await Promise.all([
      operator.dlq('redrive', '--yes', `${operator.processor.source}/nobody`),
      operator.dlq('show', 'crm/nobody'),
      operator.dlq('redrive', '--resume', '999999'),
      operator.dlq('redrive', '--cancel', '999999'),
      operator.cli.run(['dlq', 'list', '--processor', 'nobody']),
      operator.dlq('redrive', '--resume', '1', '--cancel', '1'),
      operator.dlq('discard', '--resume', '1', 'crm/1'),
      operator.cli.run(['dlq', 'list'], { env: { KAFKA_BROKERS: '127.0.0.1:1' } }),
      ...wrong.map(args => operator.dlq('list', ...args)),
    ])
    assert.deepEqual(
      [unknown, missing, resumed, cancelled, foreign].map(({ code }) => code),
      [3, 3, 3, 3, 3],
    )
    assert.match(unknown.stdout, /no dead letter of test-\w+ is named/)
    assert.deepEqual([both.code, other.code, gone.code], [2, 2, 1])
    assert.match(other.stderr, /has its own selection/)
    assert.match(gone.stderr, /^SP_BROKER_UNREACHABLE: .*check KAFKA_BROKERS/)
    for (const [i, { code, stdout, stderr }] of refused.entries()) {
      assert.deepEqual([code, stdout], [2, ''], wrong[i]?.join(' '))
      assert.match(stderr, new RegExp(wrong[i]?.[0] as string))
    }
  })

  it('in their thousands are listed, filtered and redriven, each once', async () => {
    await letters(5_000)
    const [all, tenth] = await Promise.all([operator.listed(), operator.listed('--type', 'tenth')])
    assert.deepEqual([new Set(all.map(({ id }) => id)).size, tenth.length], [5_000, 500])
    const redriven = await operator.dlq('redrive', '--yes', '--json', '--type', 'other')
    assert.equal(JSON.parse(redriven.stdout).operation.handled, 4_500, redriven.stderr)
    const sent = await operator.own('redrive')
    assert.equal(sent.length, 4_500)
    assert.equal(new Set(sent.map(({ key }) => String(key))).size, 4_500)
    assert.equal((await operator.listed('--state', 'dead')).length, 500)
  })
})
