/** What the ingress fetches by itself, and how far that can be turned against the network it stands in. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { fetchText } from '@sallyport/ingress/schemes/fetch'
import { KeyCache } from '@sallyport/ingress/schemes/key-cache'
import { FIRST_CERTIFICATE } from '../../support/tls-certificates.ts'

const BYTES_MAX = 256 * 1024

describe('fetching from senders', () => {
  const authorities = getCACertificates('default')
  const seen: string[] = []
  let server: Server
  let url: string

  before(async () => {
    const { cert, key } = FIRST_CERTIFICATE
    server = createServer({ cert, key }, (req, res) => {
      seen.push(req.url ?? '')
      const [path] = (req.url ?? '').split('?')
      if (path === '/moved') res.writeHead(302, { location: `${url}/secret` }).end()
      else if (path === '/away') res.writeHead(307, { location: 'http://169.254.169.254/' }).end()
      else if (path === '/long') res.end(Buffer.alloc(BYTES_MAX + 1, 97))
      else if (path === '/full') res.end(Buffer.alloc(BYTES_MAX, 97))
      else if (path === '/broken') res.writeHead(500).end('no')
      else res.end(`${req.method} done`)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    url = `https://localhost:${(server.address() as AddressInfo).port}`
  })

  beforeEach(() => {
    seen.length = 0
  })

  after(() => {
    setDefaultCACertificates(authorities)
    server.close()
    server.closeAllConnections()
  })

  it('a name that leads to an inner address gets no request: the certificate is not the sender’s', async () => {
    await assert.rejects(fetchText(`${url}/secret`))
    assert.deepEqual(seen, [])
  })

  it('a literal address is refused in every writing, mapped into IPv6 or private or not', async () => {
    for (const host of [
      '127.0.0.1',
      '0x7f000001',
      '2130706433',
      '0177.0.0.1',
      '127.1',
      '169.254.169.254',
      '10.0.0.1',
      '203.0.113.7',
      '[::1]',
      '[::ffff:127.0.0.1]',
      '[::ffff:a9fe:a9fe]',
      '[fd00:ec2::254]',
      '①②⑦.0.0.1',
    ]) {
      await assert.rejects(fetchText(`https://${host}/`), /is an address instead of a name/, host)
    }
  })

  it('only https without credentials is spoken', async () => {
    for (const address of [
      'http://sns.eu-central-1.amazonaws.com/',
      'file:///etc/passwd',
      'data:text/plain,x',
      'ftp://example.com/',
      'https://user:password@example.com/',
      'nothing',
    ]) {
      await assert.rejects(fetchText(address), /is not https|holds credentials|is no URL/, address)
    }
  })

  describe('from a host that shows a trusted certificate', () => {
    before(() => setDefaultCACertificates([...authorities, FIRST_CERTIFICATE.cert]))

    it('a 200 of at most 256 KiB is taken', async () => {
      assert.equal(await fetchText(`${url}/ok`), 'GET done')
      assert.equal(await fetchText(`${url}/ok`, { method: 'POST', body: 'x' }), 'POST done')
      assert.equal((await fetchText(`${url}/full`)).length, BYTES_MAX)
    })

    it('a redirect is an error and is not followed, whether it stays on the host or leads within', async () => {
      await assert.rejects(fetchText(`${url}/moved`))
      await assert.rejects(fetchText(`${url}/away`))
      assert.deepEqual(seen, ['/moved', '/away'])
    })

    it('a longer answer and another status are errors', async () => {
      await assert.rejects(fetchText(`${url}/long`), /more than 262144 bytes/)
      await assert.rejects(fetchText(`${url}/broken`), /answered 500/)
    })

    it('no error holds more of an address than its host: the rest may be a token, and errors are logged', async () => {
      for (const address of [
        `${url}/broken`,
        `${url}/long`,
        `${url}/moved`,
        'http://example.com/',
        'https://me:pass@example.com/',
        'https://127.0.0.1/',
        'https://nowhere.invalid/',
        'https://[no URL',
      ]) {
        await assert.rejects(fetchText(`${address}?Token=t0ken`), error => {
          assert.doesNotMatch(String(error), /t0ken|me:pass/, address)
          return true
        })
      }
    })
  })
})

describe('keys that requests name', () => {
  it('are fetched at most eight at a time, each once, whoever asks for how many', async () => {
    const asked: string[] = []
    let release = (): void => {}
    const gate = new Promise<void>(resolve => {
      release = resolve
    })
    const cache = new KeyCache(async name => {
      asked.push(name)
      await gate
      return name
    }, 1_000)
    const answers = Array.from({ length: 100 }, (_, i) => cache.get(`key-${i >> 1}`, 0))
    release()
    const got = await Promise.all(answers)
    assert.equal(asked.length, 8)
    assert.equal(got.filter(value => value !== null).length, 16)
  })

  it('that cannot be had are not asked for again within 30 s', async () => {
    let asked = 0
    const cache = new KeyCache<string>(async () => {
      asked++
      throw new Error('404')
    }, 1_000)
    for (const nowMs of [0, 1, 29_999]) assert.equal(await cache.get('forged', nowMs), null)
    assert.equal(asked, 1)
    await cache.get('forged', 30_000)
    assert.equal(asked, 2)
  })

  it('cost at most their rate, however many are asked for', async () => {
    const asked: string[] = []
    const cache = new KeyCache(
      async name => {
        asked.push(name)
        throw new Error('404')
      },
      3_600_000,
      { perSecond: 1, burst: 10 },
    )
    // 200 a second for a minute, each another name.
    for (let i = 0; i < 12_000; i++) assert.equal(await cache.get(`forged-${i}`, 5 * i), null)
    assert(asked.length <= 10 + 60, String(asked.length))
  })

  it('never drive out one that has proven a delivery, and never keep it from being fetched again', async () => {
    const asked: string[] = []
    const cache = new KeyCache(async name => asked.push(name), 3_600_000, { perSecond: 100, burst: 100 })
    await cache.get('genuine', 0)
    cache.proved('genuine')
    // As many as the rate allows, all of which the sender has.
    for (let i = 0; i < 1_000; i++) await cache.get(`other-${i}`, 10 * i)
    assert.equal(cache.peek('genuine', 10_000), 1)
    assert.equal(cache.peek('other-0', 10_000), undefined)
    // Its time is over, and strangers have used up the rate.
    for (let i = 0; i < 200; i++) await cache.get(`more-${i}`, 3_600_000)
    const before = asked.length
    assert.notEqual(await cache.get('genuine', 3_600_000), null)
    assert.deepEqual(asked.slice(before), ['genuine'])
  })

  it('that are used stay; the least recently used goes first', async () => {
    const cache = new KeyCache(async name => name, 3_600_000, { perSecond: 1_000, burst: 1_000 })
    for (let i = 0; i < 64; i++) await cache.get(`key-${i}`, 0)
    assert.equal(cache.peek('key-0', 0), 'key-0')
    await cache.get('one-more', 0)
    assert.equal(cache.peek('key-0', 0), 'key-0')
    assert.equal(cache.peek('key-1', 0), undefined)
  })
})
