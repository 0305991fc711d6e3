import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { resolveSecrets } from '@sallyport/core/secrets'

describe('secrets by reference', () => {
  it('are taken from the environment', () => {
    const source = resolveSecrets({ secrets: ['${env:A}'] }, 'sources.crm', { A: 'one' })
    assert.deepEqual(source.secrets, ['one'])
  })

  it('are taken from a file, without its last newline', () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-'))
    try {
      const file = path.join(folder, 'secret')
      writeFileSync(file, 'two\n')
      assert.deepEqual(resolveSecrets({ secrets: [`\${file:${file}}`] }, 'sources.crm', {}).secrets, ['two'])
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('refuse to be written out, without repeating what was written', () => {
    assert.throws(
      () => resolveSecrets({ secrets: ['hunter2'] }, 'sources.crm', {}),
      (error: Error) =>
        /SP_SETTINGS: sources\.crm\.secrets\[0\]/.test(error.message) && !error.message.includes('hunter2'),
    )
  })

  for (const [what, env] of [
    ['unset', {}],
    ['empty', { A: '' }],
  ] as const) {
    it(`a variable that is ${what} is missing, by name`, () => {
      assert.throws(
        () => resolveSecrets({ secrets: ['${env:A}'] }, 'sources.crm', env),
        /SP_SECRET_MISSING.*sources\.crm\.secrets\[0\].*A/,
      )
    })
  }

  it('a file that is not there is missing, by name', () => {
    assert.throws(
      () => resolveSecrets({ password: '${file:/nowhere/x}' }, 'sources.crm', {}),
      /SP_SECRET_MISSING.*\/nowhere\/x/,
    )
  })
})
