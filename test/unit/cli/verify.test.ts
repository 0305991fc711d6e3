/** `sallyport verify` as the real binary: what it prints, and with which code it ends. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { EXIT } from 'sallyport/exit'
import { PROJECT_FOLDER } from 'sallyport/start/home'

const CLI = path.join(PROJECT_FOLDER, 'services/cli/src/main.ts')
const BODY = '{"id":"1"}'

describe('sallyport verify', function () {
  this.timeout(30_000)
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-verify-'))
  const config = path.join(folder, 'sallyport.yaml')
  writeFileSync(config, "sources: { hub: { preset: github, secrets: ['${env:HUB_SECRET}'] } }\n")

  /** Judges a body with a signature of BODY. */
  function verify(body: string, ...more: string[]) {
    const file = path.join(folder, 'body')
    writeFileSync(file, body)
    const signature = `sha256=${createHmac('sha256', 's').update(BODY).digest('hex')}`
    const request = ['-H', `X-Hub-Signature-256: ${signature}`, '-H', 'X-GitHub-Event: push', '--body', file]
    const args = ['--no-warnings', CLI, 'verify', '--config', config, '--source', 'hub', ...request, ...more]
    return spawnSync(process.execPath, args, {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, HUB_SECRET: 's' },
    })
  }

  it('ends with 0 where the request is accepted, and as a check with findings where it is not', () => {
    const [accepted, rejected] = [verify(BODY), verify(`${BODY}\n`)]
    assert.deepEqual([accepted.status, rejected.status], [EXIT.done, EXIT.findings], rejected.stderr)
    assert.match(accepted.stdout, /accepted with the current secret/)
    assert.match(rejected.stdout, /FAIL the signature matches the request/)
  })

  it('with --json prints one document: the verdict, every step, the one that failed and what would match', () => {
    const [accepted, rejected] = [verify(BODY, '--json'), verify(`${BODY}\n`, '--json')]
    const { steps, ...rest } = JSON.parse(accepted.stdout)
    assert.deepEqual(rest, {
      source: 'hub',
      verdict: 'accept',
      code: 'verified',
      event: { id: null, type: 'push', identity: 'DIGEST' },
    })
    assert.ok(steps.length > 5 && steps.every(({ state }: { state: string }) => state === 'ok'))
    const refused = JSON.parse(rejected.stdout)
    assert.deepEqual(
      [rejected.status, refused.verdict, refused.code, refused.status, refused.failedStep],
      [EXIT.findings, 'reject', 'wrong-signature', 401, 'match'],
    )
    assert.equal(refused.wouldMatch[0], 'the last line end of the body were not there')
    assert.deepEqual(
      refused.steps.map(({ step, state }: { step: string; state: string }) => `${step} ${state}`).slice(3, 6),
      ['key ok', 'match failed', 'time not looked at'],
    )
  })

  it('takes the clock as unix seconds, as ISO 8601 or as so long ago', () => {
    for (const now of ['1795000000', '2026-11-24T18:30:00Z', '2h']) {
      assert.equal(verify(BODY, '--now', now).status, EXIT.done, now)
    }
    for (const now of ['tomorrow', '99999999999999'])
      assert.equal(verify(BODY, '--now', now).status, EXIT.usage, now)
  })
})
