import assert from 'node:assert/strict'
import { context, trace } from '@opentelemetry/api'
import * as tracing from '@opentelemetry/sdk-trace'
import { Topics } from '../support/events.ts'
import { send, signed, type TestIngress, testIngress, ticket } from '../support/ingress.ts'
import { agentEvent, PARTITIONS, type TestProcessor, testProcessor } from '../support/processor.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

const CALLER = '00-11111111111111111111111111111111-2222222222222222-01'

describe('tracing', function () {
  this.timeout(60_000)
  const exporter = new tracing.InMemorySpanExporter()
  const provider = new tracing.TracerProvider({
    spanProcessors: [new tracing.SimpleSpanProcessor({ exporter })],
  })
  let topics: Topics
  let ingress: TestIngress | undefined
  let processor: TestProcessor | undefined

  before(async () => {
    trace.setGlobalTracerProvider(provider)
    topics = new Topics(await sharedCluster(), PARTITIONS)
  })
  after(async () => {
    await processor?.stop()
    await ingress?.stop()
    await topics.close()
    trace.disable()
    context.disable()
    await provider.shutdown()
  })

  it('one accepted delivery is one trace, from the request through every retry to the dead letter', async () => {
    const connection = await sharedCluster()
    ingress = await testIngress(connection)
    processor = testProcessor(
      connection,
      () => {
        throw new Error('no')
      },
      { sources: [ingress.source] },
    )
    await processor.start()
    await ingress.ready
    const body = ticket()
    const answer = await send(`${ingress.url}/webhooks/${ingress.source}`, {
      headers: { ...signed(body), 'content-type': 'application/json', traceparent: CALLER },
      body,
    })
    assert.equal(answer.status, 200)
    const id = String(answer.json.id)
    const [dead] = await topics.read(processor.config.topics.deadLetter, ({ key }) => key === id, 1)
    const traceId = String(answer.headers.traceresponse).slice(3, 35)
    assert.equal(dead?.headers.traceparent?.slice(3, 35), traceId)

    const spans = exporter.getFinishedSpans().filter(span => span.spanContext().traceId === traceId)
    const names = spans.map(({ name }) => name)
    for (const name of [
      'POST /webhooks/:source',
      'verify',
      'publish',
      'attempt 1',
      'attempt 2',
      'attempt 3',
    ]) {
      assert.equal(names.filter(candidate => candidate === name).length, 1, name)
    }
    assert.equal(names.filter(name => name === `process ${processor?.config.name}`).length, 3)
    assert.equal(names.filter(name => name === 'settle').length, 3)
    const ids = new Set(spans.map(span => span.spanContext().spanId))
    const roots = spans.filter(({ parentSpanContext }) => parentSpanContext === undefined)
    assert.deepEqual(
      roots.map(({ name }) => name),
      ['POST /webhooks/:source'],
    )
    assert.ok(spans.every(({ parentSpanContext: parent }) => parent === undefined || ids.has(parent.spanId)))
  })

  it('the caller’s trace is linked, not joined', () => {
    const [root] = exporter.getFinishedSpans().filter(({ name }) => name === 'POST /webhooks/:source')
    assert.notEqual(root?.spanContext().traceId, CALLER.slice(3, 35))
    assert.deepEqual(
      root?.links.map(({ context }) => context.traceId),
      [CALLER.slice(3, 35)],
    )
  })

  it('emitted records carry the trace of their event', async () => {
    const connection = await sharedCluster()
    const made = testProcessor(
      connection,
      (event, { attempt, emit }) => emit(made.output, agentEvent(event.id, attempt)),
      {
        sources: [(ingress as TestIngress).source],
      },
    )
    await processor?.stop()
    processor = made
    await made.start()
    const body = ticket()
    const answer = await send(`${ingress?.url}/webhooks/${ingress?.source}`, { headers: signed(body), body })
    const [output] = await topics.read(made.output, ({ key }) => key === answer.json.id, 1)
    assert.equal(output?.headers.traceparent?.slice(3, 35), String(answer.headers.traceresponse).slice(3, 35))
    assert.equal(output?.headers.ce_type, 'io.sallyport.AgentEvent')
  })
})
