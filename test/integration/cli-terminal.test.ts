/** What the commands are to a person at a terminal, a real one: questions, Ctrl-C, colours, progress. */
import assert from 'node:assert/strict'
import { createLog } from '@sallyport/core/log'
import { openDesk } from 'sallyport/operations/desk'
import { plan } from 'sallyport/operations/plan'
import { open } from 'sallyport/operations/run'
import { commandText, selectionOf } from 'sallyport/operations/selection'
import { BINARY } from '../support/cli.ts'
import { appendDeadLetters } from '../support/dead-letters.ts'
import { Operator } from '../support/operator.ts'
import { settingsFileFor } from '../support/settings-file.ts'
import { CTRL_C, CTRL_D, ENTER, Terminal } from '../support/terminal.ts'

const LETTERS = 3
const ESCAPE = '\u001b'

describe('at a terminal', function () {
  // Each command is a process, and a busy machine takes its time.
  this.timeout(300_000)
  /** One whose processor nobody works on, and one whose processor an operation holds. */
  let free: Operator
  let held: Operator
  let operation: number

  before(async () => {
    ;[free, held] = (await Promise.all([Operator.withTopics(), Operator.withTopics()])) as [
      Operator,
      Operator,
    ]
    for (const { topics, processor } of [free, held])
      await appendDeadLetters(topics, processor.config.name, processor.source, LETTERS)
    await free.append(LETTERS)
    operation = await openOperation(held)
  })
  after(() => Promise.all([free.leave(), held.leave()]))

  /** Every question that the commands ask. */
  function questions(): Record<string, { operator: Operator; args: string[]; question: RegExp }> {
    const { config, source } = free.processor
    const replay = ['replay', '--processor', config.name, '--config', settingsFileFor(free.processor)]
    const id = String(operation)
    return {
      redrive: { operator: free, args: free.args('redrive'), question: /Send 3 dead letters round again\?/ },
      discard: { operator: free, args: free.args('discard'), question: /Discard 3 dead letters\?/ },
      replay: {
        operator: free,
        args: [...replay, '--source', source, '--from', '2026-01-01'],
        question: /Run 3 past events again\?/,
      },
      resume: {
        operator: held,
        args: ['dlq', 'redrive', '--resume', id],
        question: /Go on with it\?/,
      },
      cancel: { operator: held, args: ['dlq', 'redrive', '--cancel', id], question: /Give it up\?/ },
    }
  }

  async function answered(question: string, keys: string): Promise<{ code: number; screen: string }> {
    const asked = questions()[question] as ReturnType<typeof questions>[string]
    const terminal = new Terminal([process.execPath, BINARY, ...asked.args], asked.operator.cli.env)
    await terminal.shows(new RegExp(`${asked.question.source} \\[y/N\\] `))
    terminal.type(keys)
    const { code, settings } = await terminal.end()
    // Lines, echo and Ctrl-C are the terminal's again.
    for (const setting of ['icanon', 'echo', 'isig'])
      assert.match(settings, new RegExp(`(^|\\s)${setting}\\b`), settings)
    return { code, screen: terminal.screen }
  }

  it('Ctrl-C at every question ends the command with 130, and nothing was done', async () => {
    const before = await Promise.all([free.auditRecords(), held.auditRecords()])
    const ends = await Promise.all(Object.keys(questions()).map(name => answered(name, CTRL_C)))
    assert.deepEqual(
      ends.map(({ code }) => code),
      ends.map(() => 130),
    )
    assert.deepEqual(await Promise.all([free.auditRecords(), held.auditRecords()]), before)
    assert.deepEqual(await free.own('redrive'), [])
  })

  it('no, nonsense, nothing and Ctrl-D mean no: the command ends with 0, and nothing was done', async () => {
    const before = await free.auditRecords()
    const answers = ['n', 'yesterday', '', `y${'\u007f'}`].map(text => text + ENTER)
    const ends = await Promise.all([...answers, CTRL_D].map(keys => answered('redrive', keys)))
    assert.deepEqual(
      ends.map(({ code }) => code),
      ends.map(() => 0),
    )
    assert.equal(await free.auditRecords(), before)
    assert.deepEqual(await free.own('redrive'), [])
  })

  it('yes goes ahead; colours and progress are for a terminal alone', async () => {
    const piped = await free.cli.run(free.args('redrive'), { env: { NO_COLOR: undefined } })
    const listed = await free.cli.run(free.args('list'), { env: { NO_COLOR: undefined } })
    for (const { code, stdout, stderr } of [piped, listed]) {
      assert.equal(code, 0, stderr)
      assert.ok(!(stdout + stderr).includes(ESCAPE))
    }
    const list = new Terminal([process.execPath, BINARY, ...free.args('list')], free.cli.env)
    const [{ code, screen }] = await Promise.all([answered('redrive', `y${ENTER}`), list.end()])
    assert.equal(code, 0, screen)
    assert.ok(screen.includes(`${ESCAPE}[2Kcounting: 1`), screen)
    assert.match(screen, /Operation \d+ sent 3 dead letters round again/)
    assert.ok(list.screen.includes(`${ESCAPE}[31mdead`), list.screen)
    assert.equal((await free.own('redrive')).length, LETTERS)
  })
})

/** Opens a redrive and leaves it to others. */
async function openOperation({ cluster, processor }: Operator): Promise<number> {
  const log = createLog('test')
  log.level = 'silent'
  const desk = await openDesk(cluster, log)
  const { name } = processor.config
  const filters = { source: [processor.source] }
  const request = {
    kind: 'REDRIVE' as const,
    processor: name,
    selection: selectionOf(filters),
    command: commandText('REDRIVE', name, filters),
  }
  const planned = await plan(desk, await desk.audit.read(), request, () => {})
  const { id } = await open(desk, planned, '')
  await desk.close()
  return id
}
