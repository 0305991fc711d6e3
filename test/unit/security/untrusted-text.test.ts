/** Text that others wrote, on its way to operators: logs, terminals, answers. */
import assert from 'node:assert/strict'
import { selectionOf } from 'sallyport/operations/selection'
import { forwardedLine } from '../../../services/cli/src/listen/listen.ts'
import { planLines } from '../../../services/cli/src/operations/report.ts'
import { printable } from '../../../services/cli/src/printable.ts'
import { explain } from '../../../services/cli/src/verify/explain.ts'
import { eventOf } from '../../support/events.ts'
import { testHandler } from '../../support/handler.ts'
import { send } from '../../support/ingress.ts'
import { hmac, judge, NOW_MS, requestOf, sourceOf } from '../../support/signed-request.ts'

/** Sets a window's title, clears the screen, moves up and overwrites, hides, turns text round. */
const HOSTILE = '\u001b]0;owned\u0007\u001b[2J\u009b1A\rok\b\u202etxt.exe\u2066\n{"level":"info"}\u2028\u007f'
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what must not be there
const OBEYED = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/

describe('untrusted text', () => {
  it('on a terminal has its control characters and line ends written out, and nothing else', () => {
    assert.doesNotMatch(printable(HOSTILE), OBEYED)
    assert.match(printable(HOSTILE), /^\\x1b\]0;owned\\x07\\x1b\[2J\\x9b1A\\x0dok\\x08\\x202etxt\.exe/)
    const harmless = 'Zoë 雪 😀 – “it’s” <b> \\x1b 100 %'
    assert.equal(printable(harmless), harmless)
  })

  it('in what `sallyport verify` explains cannot move the cursor, accepted or refused', async () => {
    const source = sourceOf({
      scheme: { header: 'X-Sig', algorithm: 'hmac-sha256' },
      secrets: ['s'],
      id: '$.id',
      type: '$.type',
    })
    const body = JSON.stringify({ id: HOSTILE, type: HOSTILE })
    for (const key of ['s', 'forged']) {
      const parts = {
        url: `https://hooks.example.com/${HOSTILE}`,
        headers: { 'X-Sig': hmac('sha256', key, body), 'Content-Type': HOSTILE },
        body,
      }
      const lines = await explain(source, requestOf(parts), NOW_MS, await judge(source, parts))
      assert.ok(lines.length > 5)
      for (const line of lines) assert.doesNotMatch(line, OBEYED)
      assert.ok(lines.join('').includes('\\x1b'))
    }
  })

  it('in what `sallyport listen` tells of an event cannot, whatever became of it', () => {
    const event = { ...eventOf('crm', {}), id: HOSTILE, type: HOSTILE }
    for (const [status, error] of [
      [200, undefined],
      [undefined, HOSTILE],
    ] as const) {
      const line = forwardedLine({ event, traceId: undefined, status, tookMs: 1, error })
      assert.doesNotMatch(line, OBEYED)
      assert.ok(line.includes('\\x1b'))
    }
  })

  it('in the plan of a redrive, a discard or a replay cannot', () => {
    const record = { topic: 't', partition: 0, offset: 0, timestamp: 0, key: null, value: null, headers: {} }
    const candidate = { id: HOSTILE, source: HOSTILE, type: HOSTILE, reason: HOSTILE, home: 0, replay: 0 }
    for (const [kind, state] of [
      ['REDRIVE', 'dead'],
      ['DISCARD', 'dead'],
      ['REPLAY', 'event'],
    ] as const) {
      const lines = planLines({
        kind,
        processor: 'agent',
        selection: selectionOf({}),
        command: `sallyport ${HOSTILE}`,
        ranges: [],
        count: 1,
        leftOut: { waiting: 0, processed: 0, discarded: 0 },
        bySource: { [HOSTILE]: 1 },
        byReason: { [HOSTILE]: 1 },
        oldestAt: 0,
        newestAt: 0,
        sample: [{ ...candidate, state, record }],
        unknownIds: [HOSTILE],
      })
      assert.equal(lines.filter(line => line.includes('\\x1b')).length, 5, lines.join('\n'))
      for (const line of lines) assert.doesNotMatch(line, OBEYED)
    }
  })

  it('is not in the log and not in the answer of a refused delivery', async () => {
    const handler = await testHandler({ github: { preset: 'github', secrets: ['s'] } })
    try {
      const marked = {
        'X-Hub-Signature-256': 'sha256=marker',
        'Content-Type': 'marker',
        'X-GitHub-Event': 'marker',
      }
      const answers = [
        await send(`${handler.url}/github?marker`, { body: 'marker', headers: marked }),
        await send(`${handler.url}/marker`, { body: 'marker' }),
        await send(`${handler.url}/github`, {
          body: 'x',
          headers: { ...marked, 'Content-Encoding': 'marker' },
        }),
        await send(`${handler.url}/github?marker`, { method: 'PUT', headers: marked }),
      ]
      assert.deepEqual(
        answers.map(({ status }) => status),
        [401, 404, 415, 405],
      )
      for (const { text, headers } of answers) {
        assert.equal((text + JSON.stringify(headers)).includes('marker'), false)
        assert.equal(headers['content-type'], 'application/problem+json')
      }
      assert.equal(handler.lines.length, 4)
      for (const line of handler.lines) {
        assert.equal(line.includes('marker'), false)
        assert.equal(line.trimEnd().includes('\n'), false)
      }
    } finally {
      handler.close()
    }
  })
})
