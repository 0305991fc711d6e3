import assert from 'node:assert/strict'
import { withQuery } from 'sallyport/listen/listen'

describe('sallyport listen', () => {
  it('puts the query of an event behind that of the local URL', () => {
    assert.equal(withQuery('http://localhost:3000/hooks', null), 'http://localhost:3000/hooks')
    assert.equal(withQuery('http://localhost:3000/hooks', 'a=1'), 'http://localhost:3000/hooks?a=1')
    assert.equal(
      withQuery('http://localhost:3000/hooks?b=2#c', 'a=1'),
      'http://localhost:3000/hooks?b=2&a=1#c',
    )
  })
})
