import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { EXIT, EXIT_MEANINGS } from 'sallyport/exit'
import { connectionOf } from 'sallyport/kafka-options'
import { duration, moment, wholeNumber } from 'sallyport/option'
import { jsonText, table } from 'sallyport/output'
import { writeDevFile } from 'sallyport/start/dev-file'
import { PROJECT_FOLDER } from 'sallyport/start/home'

const HOSTILE = '\u001b]0;owned\u0007\u009b1A\rok\u202etxt\n'
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what must not be there
const OBEYED = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/

const README = join(PROJECT_FOLDER, 'README.md')
const EXAMPLE = join(PROJECT_FOLDER, 'deploy/sallyport.yaml')

function sallyport(...args: string[]) {
  const binary = join(PROJECT_FOLDER, 'services/cli/bin/sallyport.js')
  return spawnSync(process.execPath, [binary, ...args], {
    encoding: 'utf8',
    env: { CRM_WEBHOOK_SECRET: 'a secret', ...process.env, NO_COLOR: '1' },
  })
}

describe('the command line', function () {
  this.timeout(60_000)

  it('has one table of exit codes, which --help and README.md print as it is', () => {
    const meanings = Object.entries(EXIT).map(([name, code]) => [
      String(code),
      EXIT_MEANINGS[name as keyof typeof EXIT],
    ])
    const readme = readFileSync(join(PROJECT_FOLDER, 'README.md'), 'utf8')
    const rows = [...readme.matchAll(/^\| (\d+) \| (.+) \|$/gm)].map(([, code, text]) => [code, text])
    assert.deepEqual(rows, meanings)
    const help = sallyport('--help')
    assert.equal(help.status, EXIT.done)
    const lines = [...help.stdout.matchAll(/^ {2}(\d+) +(.+)$/gm)].map(([, code, text]) => [code, text])
    assert.deepEqual(lines, meanings)
  })

  it('has a --help with an example for every command', async () => {
    const program = new Command('sallyport').exitOverride()
    for (const file of globSync(join(PROJECT_FOLDER, 'services/cli/src/commands/*.ts')).sort()) {
      if (file.endsWith('completion.ts')) continue
      const { register } = (await import(file)) as { register(program: Command): void }
      register(program)
    }
    const leaves = program.commands.flatMap(command =>
      command.commands.length === 0 ? [command] : command.commands,
    )
    const without = leaves.filter(command => {
      let help = ''
      command.configureOutput({ writeOut: text => (help += text) }).outputHelp()
      return !/^Examples?:\n {2}\S/m.test(help)
    })
    assert.deepEqual(
      without.map(command => command.name()),
      [],
    )
  })

  it('ends with the usage code where the command line is wrong, and names what is', () => {
    for (const [args, complaint] of [
      [[], /Usage: sallyport/],
      [['verfy'], /Did you mean verify/],
      [['constructor'], /unknown command/],
      [['topics'], /Usage: sallyport topics/],
      [['verify'], /--source is missing/],
      [['verify', '--source', 'crm', '--now', 'soon'], /--now.*it is no time/],
      [
        ['verify', '--source', 'crm', '--config', EXAMPLE, '--body', '/nowhere'],
        /--body cannot be read.*ENOENT/,
      ],
      [['verify', '--vectors', '/nowhere'], /--vectors cannot be read.*ENOENT/],
      [['verify', '--vectors', README], /^error: --vectors: .*README\.md is no JSON/],
      [
        ['verify', '--vectors', join(PROJECT_FOLDER, 'package.json')],
        /^error: --vectors: .* is no list of vectors/,
      ],
      [['ingress', '--port', 'x'], /--port.*whole number from 0 to 65535/],
    ] as const) {
      const { status, stderr } = sallyport(...args)
      assert.equal(status, EXIT.usage, args.join(' '))
      assert.match(stderr, complaint)
    }
  })

  it('ends with the error code and says what to do where a setting is wrong', () => {
    const { status, stderr, stdout } = sallyport('verify', '--source', 'crm', '--config', '/nowhere.yaml')
    assert.deepEqual([status, stdout], [EXIT.error, ''])
    assert.match(stderr, /^SP_SETTINGS: cannot read \/nowhere\.yaml .*--config\n$/)
  })

  it('says of dlq list that it lists the letters of all processors where none is named', () => {
    assert.match(
      sallyport('dlq', 'list', '--help').stdout,
      /--processor <name> +of this processor only \(default: of all\)/,
    )
  })

  it('completes commands and options for bash, zsh and fish', () => {
    for (const shell of ['bash', 'zsh', 'fish']) {
      const script = sallyport('completion', shell)
      assert.equal(script.status, EXIT.done)
      assert.match(script.stdout, /sallyport complete --/)
    }
    assert.match(sallyport('complete', '--', 'ver').stdout, /^verify\t/m)
    assert.match(sallyport('complete', '--', 'verify', '--').stdout, /^--vectors\t/m)
  })
})

describe('option values', () => {
  it('are moments as ISO 8601 or so long ago, and nothing else', () => {
    assert.equal(moment('2026-11-24T18:30:00Z'), Date.UTC(2026, 10, 24, 18, 30))
    assert.equal(moment('2026-11-24'), Date.UTC(2026, 10, 24))
    const ago = Date.now() - moment('2h')
    assert.ok(ago >= 7_199_000 && ago < 7_260_000, String(ago))
    for (const wrong of [
      '',
      'yesterday',
      '2026-13-01',
      '2026-11-24T25:00Z',
      '-1h',
      '1',
      '2 hours',
      '11/24/2026',
    ]) {
      assert.throws(() => moment(wrong), { code: 'commander.invalidArgument' }, wrong)
    }
  })

  it('are whole numbers within their bounds, and durations with a unit', () => {
    assert.equal(wholeNumber(1, 10)('10'), 10)
    for (const wrong of ['0', '11', '1.5', '1e1', '', 'x', '-1']) {
      assert.throws(() => wholeNumber(1, 10)(wrong), { code: 'commander.invalidArgument' }, wrong)
    }
    assert.equal(duration('90s'), 90_000)
    assert.throws(() => duration('90'), { code: 'commander.invalidArgument' })
  })
})

describe('output', () => {
  it('of what others wrote cannot steer a terminal, in tables and in JSON', () => {
    for (const line of table(['A', 'B'], [[HOSTILE, { text: HOSTILE, color: text => text }]])) {
      assert.doesNotMatch(line, OBEYED)
    }
    const text = jsonText({ [HOSTILE]: HOSTILE })
    assert.doesNotMatch(text, OBEYED)
    assert.deepEqual(JSON.parse(text), { [HOSTILE]: HOSTILE })
  })

  it('keeps the columns of a table under their headings', () => {
    assert.deepEqual(
      table(
        ['ID', 'TYPE'],
        [
          ['a', 'x'],
          ['longer', 'y'],
        ],
      ),
      ['ID      TYPE', 'a       x', 'longer  y'],
    )
  })
})

/** A home in which `npm start` seems to run. */
function runningHome(): string {
  const home = mkdtempSync(join(tmpdir(), 'sallyport-frame-'))
  writeDevFile(home, {
    ingress: 'http://127.0.0.1:8480',
    brokers: ['dev:1', 'dev:2'],
    registry: 'http://dev',
    pid: process.pid,
  })
  return home
}

describe('the connection of a command', () => {
  const env = { KAFKA_BROKERS: 'env:1', SCHEMA_REGISTRY_URL: 'http://env' }

  it('is what the options say, else the environment', () => {
    assert.deepEqual(connectionOf({}, env), { brokers: ['env:1'], registryUrl: 'http://env' })
    assert.deepEqual(connectionOf({ brokers: 'a:1, b:2', registry: 'http://r' }, env), {
      brokers: ['a:1', 'b:2'],
      registryUrl: 'http://r',
    })
  })

  it('is an error that names the way out where nothing says it', () => {
    const home = { SALLYPORT_HOME: '/nowhere' }
    assert.throws(() => connectionOf({}, home), /SP_SETTINGS.*KAFKA_BROKERS.*npm start/)
    assert.throws(
      () => connectionOf({}, { ...home, KAFKA_BROKERS: 'a:1' }),
      /SP_SETTINGS.*SCHEMA_REGISTRY_URL/,
    )
  })

  it('is never the brokers of one cluster with the registry of another', () => {
    const nothing = { SALLYPORT_HOME: '/nowhere' }
    const both = /SP_SETTINGS: --(brokers|registry) without --(brokers|registry): .*give both/
    for (const around of [
      env,
      nothing,
      { ...nothing, KAFKA_BROKERS: 'env:1' },
      { ...nothing, SCHEMA_REGISTRY_URL: 'http://env' },
      { SALLYPORT_HOME: runningHome() },
    ]) {
      assert.throws(() => connectionOf({ brokers: 'a:1' }, around), both)
      assert.throws(() => connectionOf({ registry: 'http://r' }, around), both)
    }
  })

  it('takes one option alone where it names what holds anyway', () => {
    assert.deepEqual(connectionOf({ brokers: ' env:1' }, env), {
      brokers: ['env:1'],
      registryUrl: 'http://env',
    })
    assert.deepEqual(connectionOf({ registry: 'http://env/' }, env).brokers, ['env:1'])
    const dev = { brokers: ['dev:1', 'dev:2'], registryUrl: 'http://dev' }
    const home = { SALLYPORT_HOME: runningHome(), SCHEMA_REGISTRY_URL: 'http://env' }
    assert.deepEqual(connectionOf({}, home), dev)
    assert.deepEqual(connectionOf({ brokers: 'dev:1,dev:2' }, home), dev)
  })
})
