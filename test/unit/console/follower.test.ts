import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { openIndex } from '@sallyport/console/index/database'
import { catchUp, follow, type IndexSource } from '@sallyport/console/index/follower'
import { EVENTS_TOPIC } from '@sallyport/core/topics'
import { CannedKafka } from '../../support/canned-kafka.ts'

describe('bringing the index up to date (F1)', () => {
  let folder: string
  let database: DatabaseSync
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'sallyport-follower-'))
    database = openIndex(path.join(folder, 'index.db'))
  })
  afterEach(() => {
    database.close()
    rmSync(folder, { recursive: true })
  })

  for (const [who, saidMsAgo, consumers] of [
    ['is left to whoever said a moment ago that it follows', 0, 0],
    ['is done by the command itself where the follower has been silent for long', 60_000, 1],
  ] as const) {
    it(who, async () => {
      database.prepare('INSERT INTO follower (at) VALUES (?)').run(Date.now() - saidMsAgo)
      const canned = new CannedKafka({ [EVENTS_TOPIC]: 3 })
      const { behind } = await catchUp(database, sourceOf(canned), {
        signal: new AbortController().signal,
        timeoutMs: 300,
        onProgress: () => {},
      })
      assert.equal(behind, 3)
      assert.equal(canned.consumers, consumers)
    })
  }
  it('ends with the reason where the file can no longer be written, also when nothing comes', async () => {
    const { signal } = new AbortController()
    const onLook = () => database.exec('PRAGMA query_only = ON')
    const following = follow(database, sourceOf(new CannedKafka({ [EVENTS_TOPIC]: 0 })), { signal, onLook })
    await assert.rejects(following, { code: 'ERR_SQLITE_ERROR', message: /readonly/ })
  })
})

function sourceOf({ kafka }: CannedKafka): IndexSource {
  return { kafka, registry: { find: async () => undefined } as unknown as IndexSource['registry'] }
}
