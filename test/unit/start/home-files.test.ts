import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LogFile } from 'sallyport/broker/log-file'
import { crmSecret, crmSecretFile, ensureCrmSecret } from 'sallyport/start/crm-secret'
import { devFilePath, readDevFile, removeDevFile, writeDevFile } from 'sallyport/start/dev-file'
import { ensureHome, ensurePrivate, homeFolder, PROJECT_FOLDER } from 'sallyport/start/home'
import { scratchFolder } from './folder.ts'

const DEV = {
  ingress: 'http://127.0.0.1:8480',
  brokers: ['127.0.0.1:19092'],
  registry: 'http://127.0.0.1:18081/apis/ccompat/v7',
  pid: process.pid,
}

describe('dev.json', () => {
  it('says where everything is, and leaves no half of a file beside it', () => {
    const home = scratchFolder()
    writeDevFile(home, DEV)
    assert.deepEqual(JSON.parse(readFileSync(devFilePath(home), 'utf8')), DEV)
    assert.deepEqual(readdirSync(home), ['dev.json'])
    assert.deepEqual(readDevFile(home), DEV)
  })

  it('counts for nothing when its process is gone, when it is removed, or when it is garbage', () => {
    const home = scratchFolder()
    assert.equal(readDevFile(home), undefined)
    const { pid } = spawnSync(process.execPath, ['--version'])
    writeDevFile(home, { ...DEV, pid })
    assert.equal(readDevFile(home), undefined)
    writeFileSync(devFilePath(home), '{"ingress":')
    assert.equal(readDevFile(home), undefined)
    removeDevFile(home)
    removeDevFile(home)
    assert.deepEqual(readdirSync(home), [])
  })
})

describe('the home folder', () => {
  it('is .sallyport in the project, unless SALLYPORT_HOME names another', () => {
    assert.equal(homeFolder({}), join(PROJECT_FOLDER, '.sallyport'))
    assert.equal(homeFolder({ SALLYPORT_HOME: '/elsewhere' }), '/elsewhere')
  })

  it('is for its owner alone, and so are the broker’s data in it, also where they were open before', async () => {
    const home = join(scratchFolder(), 'home')
    ensureHome(home)
    assert.equal(statSync(home).mode & 0o777, 0o700)
    const data = join(home, 'kafka')
    mkdirSync(data)
    for (const folder of [home, data]) chmodSync(folder, 0o755)
    ensureHome(home)
    ensurePrivate(data)
    for (const folder of [home, data]) assert.equal(statSync(folder).mode & 0o777, 0o700)
  })
})

describe('the secret of the CRM', () => {
  it('is made once, for its owner alone, and kept across starts', () => {
    const home = scratchFolder()
    const env: NodeJS.ProcessEnv = {}
    assert.equal(ensureCrmSecret(home, env), crmSecretFile(home))
    assert.match(env.CRM_WEBHOOK_SECRET as string, /^[0-9a-f]{64}$/)
    assert.equal(statSync(crmSecretFile(home)).mode & 0o777, 0o600)
    const later: NodeJS.ProcessEnv = { CRM_WEBHOOK_SECRET: '' }
    ensureCrmSecret(home, later)
    assert.equal(later.CRM_WEBHOOK_SECRET, env.CRM_WEBHOOK_SECRET)
    assert.equal(crmSecret(home, {}), env.CRM_WEBHOOK_SECRET)
  })

  it('is the variable where the user has set it, and no file is written then', () => {
    const home = scratchFolder()
    const env = { CRM_WEBHOOK_SECRET: 'mine' }
    assert.equal(ensureCrmSecret(home, env), undefined)
    assert.deepEqual(readdirSync(home), [])
    assert.equal(crmSecret(home, env), 'mine')
  })
})

describe('a log on disk', () => {
  it('never takes more than twice its bound, and keeps the last lines in mind', () => {
    const file = join(scratchFolder(), 'logs', 'broker.log')
    const log = new LogFile(file, 1_000)
    for (let i = 0; i < 500; i++) log.write(`line ${i}\n`)
    log.write('no end')
    log.close()
    assert.ok(statSync(file).size <= 1_100)
    assert.ok(statSync(`${file}.1`).size <= 1_100)
    assert.deepEqual(readdirSync(join(file, '..')).sort(), ['broker.log', 'broker.log.1'])
    assert.deepEqual(log.tail().slice(-2), ['line 499', 'no end'])
    log.forget()
    assert.deepEqual(log.tail(), [])
  })
})
