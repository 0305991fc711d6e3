import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createLog } from '@sallyport/core/log'
import { CLAIMS_DELETE_RETENTION_MS } from '@sallyport/core/topics'
import { Checkpoint } from '@sallyport/processor/checkpoint'
import { CheckpointFolder } from '@sallyport/processor/checkpoint-folder'

const SUBJECT = { topic: 'claims', partition: 3, clusterId: 'a cluster', topicId: 'a topic' }
const HEAD = {
  offset: 100,
  positions: { events: 7 },
  logs: {},
  positionsAt: 1_000,
  hashKey: 'key',
  savedAt: 1_000,
}

describe('a checkpoint file', () => {
  let folder: string
  const opened: Checkpoint[] = []

  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'sallyport-checkpoint-'))
  })
  afterEach(() => {
    for (const checkpoint of opened.splice(0)) checkpoint.close()
    rmSync(folder, { recursive: true, force: true })
  })

  function open(subject = SUBJECT): Checkpoint {
    const checkpoint = Checkpoint.open(folder, subject)
    opened.push(checkpoint)
    return checkpoint
  }

  async function saved(parts: Record<string, string> = { 'segment/0': 'one', 'segment/1': 'two' }) {
    const checkpoint = open()
    checkpoint.own('first')
    await checkpoint.save(bytesOf(parts), HEAD)
    return checkpoint
  }

  function bytesOf(parts: Record<string, string>): [string, Buffer][] {
    return Object.entries(parts).map(([id, text]) => [id, Buffer.from(text)])
  }

  function textOf(checkpoint: Checkpoint, part: string): string {
    return Buffer.from(checkpoint.part(part)).toString()
  }

  it('gives back what was saved', async () => {
    await saved({ 'segment/0': 'one', 'pending/0': 'two' })
    const again = open()
    const head = again.own('second')
    assert.deepEqual({ ...head, parts: undefined }, { ...HEAD, parts: undefined })
    assert.equal(textOf(again, 'segment/0'), 'one')
    assert.equal(textOf(again, 'pending/0'), 'two')
  })

  it('keeps the segments that have not changed, and only the PENDING claims of the last save', async () => {
    const checkpoint = await saved({ 'segment/0': 'one', 'pending/0': 'two', 'pending/1': 'three' })
    await checkpoint.save(bytesOf({ 'pending/0': 'four' }), { ...HEAD, offset: 200 })
    const again = open()
    assert.equal(again.own('second')?.offset, 200)
    assert.deepEqual(Object.keys(again.parts).sort(), ['pending/0', 'segment/0'])
    assert.equal(textOf(again, 'segment/0'), 'one')
  })

  it('of another cluster, topic or partition is none (D2)', async () => {
    for (const other of [{ clusterId: 'another' }, { topicId: 'created anew' }]) {
      await saved()
      assert.equal(open({ ...SUBJECT, ...other }).own('second'), undefined)
      assert.equal(open().own('third'), undefined, 'what was there is gone')
    }
  })

  it('a part that is not the one the head speaks of is not believed, and the file goes (D3)', async () => {
    const damages = [
      "UPDATE part SET data = CAST('owe' AS BLOB) WHERE id = 'segment/0'",
      "DELETE FROM part WHERE id = 'segment/0'",
      "UPDATE part SET data = (SELECT data FROM part WHERE id = 'segment/1')",
    ]
    for (const damage of damages) {
      const before = await saved()
      before.close()
      const file = path.join(folder, readdirSync(folder)[0] as string)
      const database = new DatabaseSync(file)
      database.exec(damage)
      database.close()
      const again = open()
      again.own('second')
      assert.throws(() => again.part('segment/0'), { code: 'SP_RESTORE' })
      assert.equal(existsSync(file), false)
    }
  })

  it('an earlier owner cannot write any more (D4)', async () => {
    const zombie = await saved()
    const owner = open()
    owner.own('second')
    assert.equal(await zombie.save(bytesOf({ 'segment/0': 'stale' }), { ...HEAD, offset: 500 }), false)
    assert.equal(await owner.save(bytesOf({ 'segment/1': 'new' }), { ...HEAD, offset: 300 }), true)
    const next = open()
    assert.equal(next.own('third')?.offset, 300)
    assert.equal(textOf(next, 'segment/0'), 'one')
  })

  it('a save that is cut off leaves what was there', async () => {
    const checkpoint = await saved()
    function* cutOff(): Generator<[string, Buffer]> {
      yield ['segment/0', Buffer.from('half')]
      checkpoint.close()
      yield ['segment/1', Buffer.from('done')]
    }
    await assert.rejects(checkpoint.save(cutOff(), { ...HEAD, offset: 900 }))
    const again = open()
    assert.equal(again.own('second')?.offset, HEAD.offset)
    assert.equal(textOf(again, 'segment/0'), 'one')
  })

  describe('is', () => {
    const NOW = 1_000
    const request = { topic: 'claims', partition: 3, owner: 'next', low: 50, high: 500 }

    async function opening(change: Partial<typeof request> = {}, now = NOW, identify = async () => SUBJECT) {
      const log = createLog('test')
      log.level = 'silent'
      const found = await new CheckpointFolder(folder, identify, () => now, log).open({
        ...request,
        ...change,
      })
      if (found !== undefined) opened.push(found.file)
      return found
    }

    it('used where it fits', async () => {
      await saved()
      assert.equal((await opening())?.head?.offset, HEAD.offset)
    })

    const unfit: [string, Partial<typeof request>, number][] = [
      ['behind what the topic keeps', { low: HEAD.offset + 1 }, NOW],
      ['ahead of the topic', { high: HEAD.offset - 1 }, NOW],
      ['older than tombstones are kept', {}, NOW + CLAIMS_DELETE_RETENTION_MS],
      ['from the future', {}, NOW - 3_600_000],
    ]
    for (const [what, change, now] of unfit) {
      it(`not used where it is ${what}, and not mixed with what is saved next`, async () => {
        await saved()
        const found = await opening(change, now)
        assert.ok(found !== undefined && found.head === undefined)
        await found.file.save(bytesOf({ 'segment/5': 'new' }), HEAD)
        const again = open()
        again.own('later')
        assert.deepEqual(Object.keys(again.parts), ['segment/5'])
      })
    }

    it('replaced where the file is none, or cut short', async () => {
      const file = path.join(folder, 'claims-3.sqlite')
      await saved({ 'segment/0': 'x'.repeat(100_000) }).then(checkpoint => checkpoint.close())
      const whole = readFileSync(file)
      for (const content of ['no database at all '.repeat(500), whole.subarray(0, 5_000)]) {
        writeFileSync(file, content)
        const found = await opening()
        assert.ok(found === undefined || found.head === undefined)
        found?.file.close()
        rmSync(file, { force: true })
      }
    })

    it('done without where the topic cannot be identified, or the folder cannot be written', async () => {
      assert.equal(await opening({}, NOW, () => Promise.reject(new Error('no answer'))), undefined)
      rmSync(folder, { recursive: true })
      writeFileSync(folder, 'a file')
      assert.equal(await opening(), undefined)
    })
  })
})
