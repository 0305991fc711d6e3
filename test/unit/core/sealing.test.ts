import assert from 'node:assert/strict'
import { SealingKeys } from '@sallyport/core/sealing'
import fc from 'fast-check'

const FIRST = 'first key, long enough for sealing things'
const SECOND = 'second key, long enough for sealing too'
const keys = (...texts: string[]) => new SealingKeys(texts, 'ingress.sealingKeys')

describe('sealing', () => {
  it('opens what it sealed, for the same owner alone, and shows nothing of it', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 8 }), fc.string(), (secret, owner) => {
        const sealed = keys(FIRST).seal(secret, owner)
        assert.equal(sealed.sealed.includes(secret), false)
        assert.equal(keys(FIRST).open(sealed, owner), secret)
        assert.equal(keys(FIRST).open(sealed, `${owner}x`), undefined)
      }),
    )
  })

  it('opens with a previous key what was sealed before the rotation, and with no other', () => {
    const sealed = keys(FIRST).seal('secret', 'asana\nw1')
    assert.equal(keys(SECOND, FIRST).open(sealed, 'asana\nw1'), 'secret')
    assert.equal(keys(SECOND).open(sealed, 'asana\nw1'), undefined)
    assert.equal(
      keys(SECOND).open({ ...sealed, keyId: keys(SECOND).seal('', '').keyId }, 'asana\nw1'),
      undefined,
    )
  })

  it('never opens what was changed at any byte or cut at any place, and never throws', () => {
    const { keyId, sealed } = keys(FIRST).seal('secret', 'owner')
    for (let i = 0; i < sealed.length; i++) {
      const changed = Buffer.from(sealed)
      changed[i] = (changed[i] as number) ^ 1
      assert.equal(keys(FIRST).open({ keyId, sealed: changed }, 'owner'), undefined)
      assert.equal(keys(FIRST).open({ keyId, sealed: sealed.subarray(0, i) }, 'owner'), undefined)
    }
  })

  it('takes no key that could be guessed, and does not repeat it', () => {
    assert.throws(
      () => keys('short and secret'),
      error => {
        assert.match(String(error), /SP_SETTINGS: ingress.sealingKeys holds a key of fewer than 32/)
        assert.doesNotMatch(String(error), /short and secret/)
        return true
      },
    )
    assert.throws(() => keys(), /is empty/)
  })
})
