import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { loadSettings } from '@sallyport/core/settings'
import { listPresets } from '@sallyport/ingress/schemes/presets'
import { checkSettings } from 'sallyport/check/settings-check'
import { SettingsDocument } from 'sallyport/scaffold/settings-document'
import { SETTINGS_TEMPLATE } from 'sallyport/scaffold/settings-template'
import { sourceScaffold } from 'sallyport/scaffold/source-entry'
import { crmSecretFile } from 'sallyport/start/crm-secret'
import { PROJECT_FOLDER } from 'sallyport/start/home'
import { SIGNING_CERTIFICATE } from '../../support/signing-certificate.ts'

const CLI = path.join(PROJECT_FOLDER, 'services/cli/src/main.ts')

function settingsFile(text = SETTINGS_TEMPLATE): string {
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'sallyport-scaffold-')), 'sallyport.yaml')
  writeFileSync(file, text)
  return file
}

function sallyport(args: string[], env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--no-warnings', CLI, ...args], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, ...env },
  })
  return { status, stdout, stderr }
}

describe('the settings that init writes', () => {
  it('are complete: nothing but the example’s secret is missing', async () => {
    const { findings } = await checkSettings(settingsFile(), {})
    assert.deepEqual(
      findings.filter(({ state }) => state !== 'ok').map(({ about, code }) => [about, code]),
      [
        ['source example', 'SP_SECRET_MISSING'],
        ['processors', undefined],
      ],
    )
  })

  it('never replace a file that is there', () => {
    const file = settingsFile('mine')
    const { status, stderr } = sallyport(['init', '--config', file])
    assert.equal(status, 1)
    assert.match(stderr, /SP_SETTINGS.*is there already/)
    assert.equal(readFileSync(file, 'utf8'), 'mine')
  })
})

describe('add source', () => {
  it('writes settings for every known sender that fit the schema, and names each variable that is missing', async () => {
    for (const preset of listPresets()) {
      const file = settingsFile()
      const document = new SettingsDocument(file)
      const { entry, comment, variables } = sourceScaffold('it', preset)
      document.set('sources', 'it', entry, comment)
      document.save()
      assert.deepEqual(loadSettings(file, {}).sources.it, entry, preset.name)
      const { findings } = await checkSettings(file, {})
      const finding = findings.find(({ about }) => about === 'source it')
      if (variables.length === 0) assert.equal(finding?.state, 'ok', preset.name)
      else
        assert.match(
          finding?.text ?? '',
          new RegExp(`set the variable (${variables.join('|')})$`),
          preset.name,
        )
    }
  })

  it('keeps what stands in the file, comments too', () => {
    const file = settingsFile()
    assert.equal(sallyport(['add', 'source', 'shop-eu', '--preset', 'shopify', '-c', file]).status, 0)
    const text = readFileSync(file, 'utf8')
    for (const line of SETTINGS_TEMPLATE.split('\n').filter(line => line.trim().startsWith('#')))
      assert.ok(text.includes(line), line)
    assert.ok('example' in loadSettings(file, {}).sources)
  })

  it('refuses a sender that nobody knows, a name that is taken, and one that cannot stand in a URL', () => {
    const file = settingsFile()
    const unknown = sallyport(['add', 'source', 'nobody', '-c', file])
    assert.equal(unknown.status, 2)
    assert.match(unknown.stderr, /nobody is no known sender.*github/)
    assert.equal(sallyport(['add', 'source', 'example', '--preset', 'github', '-c', file]).status, 1)
    assert.equal(sallyport(['add', 'source', 'a/b', '--preset', 'github', '-c', file]).status, 2)
    assert.equal(readFileSync(file, 'utf8'), SETTINGS_TEMPLATE)
  })
})

describe('add processor', () => {
  // Inside the project, where its packages are found.
  const folder = path.join(PROJECT_FOLDER, `.sallyport/scaffold-${process.pid}`)
  after(() => rmSync(folder, { recursive: true, force: true }))

  it('writes a module that type-checks and loads', () => {
    mkdirSync(folder, { recursive: true })
    const file = path.join(folder, 'sallyport.yaml')
    writeFileSync(file, SETTINGS_TEMPLATE)
    const added = sallyport(['add', 'processor', 'my-agent', '--source', 'example', '-c', file])
    assert.equal(added.status, 0, added.stderr)
    const { status, stdout } = sallyport(['config', 'check', '-c', file, '--json'], {
      EXAMPLE_WEBHOOK_SECRET: 'a secret of more bytes',
    })
    const findings = JSON.parse(stdout) as { about: string; state: string }[]
    assert.deepEqual(
      findings.filter(({ state }) => state !== 'ok'),
      [],
    )
    assert.equal(status, 0)
    const tsc = [
      'node_modules/.bin/tsc',
      '--ignoreConfig',
      '--noEmit',
      '--strict',
      '--skipLibCheck',
      '--types',
      'node',
    ]
    const flags = ['--module', 'nodenext', '--target', 'es2024', '--allowImportingTsExtensions']
    const [command, ...args] = [...tsc, ...flags, path.join(folder, 'agents/my-agent.ts')]
    const checked = spawnSync(command as string, args, { encoding: 'utf8', cwd: PROJECT_FOLDER })
    assert.equal(checked.stdout, '')
    assert.ok(findings.some(({ about }) => about === 'processor my-agent'))
    assert.equal(sallyport(['add', 'processor', 'my-agent', '-c', file]).status, 1)
  })
})

describe('config check', () => {
  it('tells every source that is wrong, not only the first, and ends with 4', () => {
    const file = settingsFile(`sources:
  a: { preset: github, secrets: ['\${env:A}'] }
  b: { preset: github, secrets: ['\${env:B}'], headers: [authorization] }
  c: { preset: github, secrets: ['\${env:C}'] }
`)
    const { status, stdout } = sallyport(['config', 'check', '-c', file, '--json'], { A: 'x', B: 'x' })
    const findings = JSON.parse(stdout) as { about: string; state: string }[]
    assert.equal(status, 4)
    assert.deepEqual(
      findings.filter(({ about }) => about.startsWith('source')).map(({ about, state }) => [about, state]),
      [
        ['source a', 'ok'],
        ['source b', 'problem'],
        ['source c', 'problem'],
      ],
    )
    assert.doesNotMatch(stdout, /"x"/)
  })

  it('says where only npm start has the secret that a source verifies with, and is content with it', () => {
    const home = mkdtempSync(path.join(tmpdir(), 'sallyport-home-'))
    const settings = `sources: { crm: { preset: generic, secrets: ['\${env:CRM_WEBHOOK_SECRET}'] } }
processors: [{ module: ${PROJECT_FOLDER}/services/agents/src/ticket-agent.ts }]
`
    const check = (env: Record<string, string>) => {
      const args = ['config', 'check', '-c', settingsFile(settings), '--json']
      const { status, stdout } = sallyport(args, { SALLYPORT_HOME: home, ...env })
      const findings = JSON.parse(stdout) as { about: string; state: string; text: string }[]
      return { status, finding: findings.find(({ about }) => about === 'source crm') }
    }
    const without = check({})
    assert.deepEqual([without.status, without.finding?.state], [4, 'problem'])
    writeFileSync(crmSecretFile(home), 'kept\n')
    const kept = check({})
    assert.deepEqual([kept.status, kept.finding?.state], [0, 'notice'])
    assert.match(kept.finding?.text ?? '', /npm start keeps .*sallyport ingress .*set CRM_WEBHOOK_SECRET/)
    const set = check({ CRM_WEBHOOK_SECRET: 'a secret of more bytes' })
    assert.deepEqual([set.status, set.finding?.state], [0, 'ok'])
  })

  it('warns of a secret that may be guessed, whatever its encoding, and shows none', () => {
    const file = settingsFile(`sources:
  long: { preset: github, secrets: ['\${env:LONG}'] }
  short: { preset: github, secrets: ['\${env:LONG}', '\${env:SHORT}'] }
  base64: { preset: airtable, secrets: ['\${env:BASE64}'] }
  basic: { preset: postmark, username: u, secrets: ['\${env:SHORT}'] }
processors: [{ module: ${PROJECT_FOLDER}/services/agents/src/ticket-agent.ts }]
`)
    const env = { LONG: 'k'.repeat(16), SHORT: 'fifteen-letters', BASE64: 'wP/uAMD/7gA=' }
    const { status, stdout } = sallyport(['config', 'check', '-c', file, '--json'], env)
    const findings = JSON.parse(stdout) as { about: string; state: string; text: string }[]
    assert.equal(status, 4)
    const warnings = findings.filter(({ state }) => state === 'warning')
    assert.deepEqual(
      warnings.map(({ about, text }) => [about, /has (\d+) bytes/.exec(text)?.[1]]),
      [
        ['secrets of short', '15'],
        ['secrets of base64', '8'],
        ['secrets of basic', '15'],
      ],
    )
    assert(!stdout.includes(env.SHORT) && !stdout.includes(env.BASE64))
  })

  it('says of a file that is no settings file where it is wrong', () => {
    const { status, stdout } = sallyport(['config', 'check', '-c', settingsFile('sources: 7\n')])
    assert.equal(status, 4)
    assert.match(stdout, /problem.*sources/)
  })

  it('warns before the certificate expires, and calls an expired one a problem', async () => {
    const file = settingsFile(
      'ingress: { tls: { cert: cert.pem, key: key.pem } }\nsources: { a: { preset: github, secrets: ["${env:A}"] } }\n',
    )
    writeFileSync(path.join(path.dirname(file), 'cert.pem'), SIGNING_CERTIFICATE)
    const end = Date.parse('2126-10-31')
    for (const [daysBefore, state] of [
      [100, 'ok'],
      [10, 'warning'],
      [-10, 'problem'],
    ] as const) {
      const { findings } = await checkSettings(file, {}, () => end - daysBefore * 86_400_000)
      assert.equal(findings.find(({ about }) => about === 'certificate')?.state, state)
    }
  })
})
