import assert from 'node:assert/strict'
import { Caller, senderOf } from '@sallyport/ingress/caller'
import { canonicalAddress, Networks } from '@sallyport/ingress/networks'
import fc from 'fast-check'

const RUNS = 10_000

/** What a request looks like to `Caller`. */
function request(
  remoteAddress: string,
  headers: Record<string, string>,
): ConstructorParameters<typeof Caller>[0] {
  return { socket: { remoteAddress }, headers: { host: 'here', ...headers } } as never
}

describe('networks', () => {
  it('a network holds its addresses and no others, in IPv4, IPv6 and IPv4 within IPv6', () => {
    const networks = new Networks(['192.0.2.0/24', '198.51.100.7', '2001:db8::/32', '::1/128'], 'test')
    for (const inside of [
      '192.0.2.0',
      '192.0.2.255',
      '::ffff:192.0.2.9',
      '198.51.100.7',
      '2001:db8:1::2',
      '::1',
    ]) {
      assert.equal(networks.includes(inside), true, inside)
    }
    for (const outside of ['192.0.3.0', '198.51.100.8', '2001:db9::1', '::2', '::', '0.0.0.0', '']) {
      assert.equal(networks.includes(outside), false, outside)
    }
  })

  it('0.0.0.0/0 is all of IPv4 and nothing of IPv6', () => {
    const networks = new Networks(['0.0.0.0/0'], 'test')
    assert.equal(networks.includes('203.0.113.1'), true)
    assert.equal(networks.includes('2001:db8::1'), false)
  })

  it('an entry that is no network refuses to start and is named with its setting', () => {
    for (const wrong of [
      '10.0.0.0/33',
      '10.0.0.0/',
      '10.0.0',
      'localhost',
      '010.0.0.1',
      '::1/129',
      '1.2.3.4/8/8',
      '',
    ]) {
      assert.throws(
        () => new Networks([wrong], 'sources.x.allowFrom'),
        /SP_SETTINGS: sources\.x\.allowFrom holds/,
      )
    }
  })

  it('numbers in disguise are no addresses', () => {
    for (const text of [
      '0x7f000001',
      '2130706433',
      '127.1',
      '0177.0.0.1',
      '127.0.0.1%lo',
      'fe80::1%eth0',
      ' 127.0.0.1',
    ]) {
      assert.equal(canonicalAddress(text), undefined, text)
    }
  })
})

describe('the walk through X-Forwarded-For', () => {
  const trusted = new Networks(['10.0.0.0/8', 'fd00::/8'], 'test')

  it('from the right, the first address that is no trusted proxy is the sender (A2)', () => {
    assert.equal(senderOf('203.0.113.9', trusted), '203.0.113.9')
    assert.equal(senderOf('203.0.113.9, 10.0.0.2', trusted), '203.0.113.9')
    assert.equal(senderOf('192.0.2.1, 203.0.113.9, 10.0.0.2, fd00::3', trusted), '203.0.113.9')
    assert.equal(senderOf('[2001:db8::9]:443, 10.0.0.2:80', trusted), '2001:db8::9')
  })

  it('what the sender wrote itself, further left, never counts', () => {
    assert.equal(senderOf('10.0.0.1, 203.0.113.9', trusted), '203.0.113.9')
    assert.equal(senderOf('192.0.2.1, garbage, 203.0.113.9, 10.1.1.1', trusted), '203.0.113.9')
  })

  it('an entry that is no address ends the walk without a sender (A3)', () => {
    for (const text of [
      'garbage, 10.0.0.2',
      '203.0.113.9, , 10.0.0.2',
      '',
      'unknown',
      '203.0.113.9:99999999',
    ]) {
      assert.equal(senderOf(text, trusted), null, text)
    }
  })

  it('the header counts only where the peer is a trusted proxy (A1)', () => {
    const headers = {
      'x-forwarded-for': '192.0.2.1',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'there',
    }
    const stranger = new Caller(request('203.0.113.9', headers), trusted)
    assert.deepEqual([stranger.address(), stranger.secure, stranger.host], ['203.0.113.9', false, 'here'])
    const proxy = new Caller(request('::ffff:10.0.0.2', headers), trusted)
    assert.deepEqual([proxy.address(), proxy.secure, proxy.host], ['192.0.2.1', true, 'there'])
    const nobody = new Caller(request('10.0.0.2', headers), new Networks([], 'test'))
    assert.deepEqual([nobody.address(), nobody.secure, nobody.host], ['10.0.0.2', false, 'here'])
  })

  it('https counts only where every proxy on the way said https', () => {
    const secure = (proto: string) =>
      new Caller(request('10.0.0.2', { 'x-forwarded-proto': proto }), trusted).secure
    assert.deepEqual(
      ['https', 'HTTPS, https', 'http', 'https, http', 'http, https', 'https,', ''].map(secure),
      [true, true, false, false, false, false, false],
    )
  })

  it('a host, forwarded or not, that is more or less than one host is none', () => {
    const hosts = [
      'a',
      'A.b-c.example',
      'a_b:8480',
      '192.0.2.1:1',
      '[::1]',
      '[2001:db8::1]:65535',
      'x%41',
      'h.',
    ]
    for (const host of hosts) {
      assert.equal(new Caller(request('10.0.0.2', { 'x-forwarded-host': host }), trusted).host, host)
      assert.equal(new Caller(request('192.0.2.1', { host }), trusted).host, host)
    }
    for (const host of [
      ...[
        'a, b',
        'a/b',
        'a b',
        'a@b',
        '',
        'a:1:2',
        'x'.repeat(300),
        'a?b',
        'a#b',
        'a\\b',
        'a"b',
        'é',
        '%4',
        'a,b',
      ],
      ...[
        '[::1',
        '::1',
        '[::1]x',
        '[1.2.3.4]',
        '[::1%25lo]',
        '[v1.a]',
        ':80',
        'a:',
        'a:65536',
        'a:0x1',
        '{"a":1}',
      ],
    ]) {
      assert.equal(new Caller(request('10.0.0.2', { 'x-forwarded-host': host }), trusted).host, null, host)
      assert.equal(new Caller(request('192.0.2.1', { host }), trusted).host, null, host)
      assert.equal(new Caller(request('192.0.2.1', { 'x-forwarded-host': host }), trusted).host, 'here')
    }
  })

  it('no header text makes it throw, or yields anything but a canonical untrusted address, a trusted one or null', () => {
    const piece = fc.oneof(
      fc.string(),
      fc.ipV4(),
      fc.ipV6(),
      fc.constantFrom('10.0.0.1', ' ', 'unknown', '[', '[::1]:', '::ffff:10.0.0.1', '_hidden', '1.2.3.4:5'),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), pieces => {
        const text = pieces.join(',')
        const address = senderOf(text, trusted)
        if (address === null) return
        assert.equal(canonicalAddress(address), address)
        if (trusted.includes(address)) {
          for (const entry of text.split(',').slice(1)) assert.notEqual(entry.trim(), '')
        }
      }),
      { numRuns: RUNS },
    )
  })

  it('no forwarding header makes a caller throw: it is secure only by https alone, and its host is its own, one plausible host or none', () => {
    const proto = fc.oneof(fc.string(), fc.constantFrom('https', 'HTTPS ', 'https, http', 'https,https', ','))
    const host = fc.oneof(
      fc.string(),
      fc.domain(),
      fc.ipV6(),
      fc.constantFrom('a:1', '[::1]:8', 'a, b', 'a/b'),
    )
    fc.assert(
      fc.property(proto, host, fc.string(), (said, named, list) => {
        const headers = { 'x-forwarded-proto': said, 'x-forwarded-host': named, 'x-forwarded-for': list }
        const caller = new Caller(request('10.0.0.2', headers), trusted)
        caller.address()
        if (caller.secure) assert.match(said, /^\s*https\s*(,\s*https\s*)*$/i)
        if (caller.host !== null) assert.match(caller.host, /^[A-Za-z0-9._~%:[\]-]{1,260}$/)
        const stranger = new Caller(request('192.0.2.1', headers), trusted)
        assert.deepEqual([stranger.secure, stranger.host, stranger.address()], [false, 'here', '192.0.2.1'])
      }),
      { numRuns: RUNS },
    )
  })

  it('whatever a sender writes before what a trusted proxy appended, its own address comes out', () => {
    fc.assert(
      fc.property(fc.string(), fc.ipV4(), (forged, real) => {
        fc.pre(!trusted.includes(real))
        assert.equal(senderOf(`${forged}, ${real}, 10.0.0.2`, trusted), canonicalAddress(real))
      }),
      { numRuns: RUNS },
    )
  })
})
