/**
 * The index of events under SIGKILL: `sallyport index`, the real binary on a real broker, dies at each step of its
 * writing and is started again on the same file (I1–I3, Y1). Each event was delivered once, so a record that was written
 * twice would count as a second delivery.
 */
import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import { Cli } from '../support/cli.ts'
import { eventOf, Topics } from '../support/events.ts'
import { agentEvent, PARTITIONS, type TestProcessor, testProcessor } from '../support/processor.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

const FAULTS = fileURLToPath(new URL('../support/index-faults.ts', import.meta.url))
/** Before anything is written; between the rows and their commit; behind it; and once more when there is an index. */
const DEATHS = [
  'write:before:1',
  'position:before:1',
  'position:after:1',
  'commit:before:1',
  'commit:after:1',
  'write:after:1',
  'position:before:2',
]
const EVENTS = 40

interface Listed {
  readonly events: readonly { id: string; outcome: string }[]
  readonly behind: number
}

describe('an index that is killed', function () {
  // Each run starts a process, and a busy machine takes its time.
  this.timeout(300_000)
  let topics: Topics
  let cli: Cli
  let anew: Cli
  let processor: TestProcessor

  before(async () => {
    const cluster = await sharedCluster()
    topics = new Topics(cluster, PARTITIONS)
    ;[cli, anew] = [new Cli(cluster), new Cli(cluster)]
    processor = testProcessor(cluster, (event, { attempt, emit }) =>
      emit(processor.output, agentEvent(event.id, attempt)),
    )
    await processor.start()
  })
  after(async () => {
    await processor.stop()
    await topics.close()
  })

  it('goes on where it was, and holds each record once (I1, Y1)', async () => {
    const ids: string[] = []
    for (const death of DEATHS) {
      const events = Array.from({ length: EVENTS }, (_, n) => eventOf(processor.source, { n }))
      await topics.append(events)
      ids.push(...events.map(({ id }) => id))
      const { code, stdout, stderr } = await cli.run(['index'], { load: FAULTS, env: { FAULT: death } })
      assert.equal(code, 'SIGKILL', `${death} was not reached: ${stdout}${stderr}`)
    }
    await topics.read(processor.output, () => true, ids.length)
    const list = ['events', 'list', '--source', processor.source, '--limit', '1000']
    const [listed, filled] = await Promise.all([cli.json<Listed>(list), anew.json<Listed>(list)])
    const byId = ({ events }: Listed) => [...events].sort((a, b) => a.id.localeCompare(b.id))
    assert.deepEqual(listed.events.map(({ id }) => id).sort(), ids.sort())
    assert.deepEqual(byId(listed), byId(filled))
    assert.deepEqual([listed.behind, filled.behind], [0, 0])
    const stories = await Promise.all(
      [ids[0], ids.at(-1)].map(id => cli.json<{ deliveries: number }>(['events', 'show', id as string])),
    )
    assert.deepEqual(
      stories.map(({ deliveries }) => deliveries),
      [1, 1],
    )
  })
})
