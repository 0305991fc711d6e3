import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { ROOT_CONTEXT } from '@opentelemetry/api'
import { createLog } from '@sallyport/core/log'
import { SpanKind, startChild } from '@sallyport/core/trace'
import { defineProcessor, type Handler, type HandlerContext } from '@sallyport/processor'
import { Attempts } from '@sallyport/processor/attempt'
import { configure } from '@sallyport/processor/config'
import { OutputEncoder } from '@sallyport/processor/outputs'
import { eventOf } from '../../support/events.ts'

describe('an attempt', () => {
  const silent = createLog('test', { write() {} })

  function attempts(handler: Handler, timeout = '30s') {
    const processor = configure(defineProcessor({ name: 'test', timeout, handler }), {})
    const task = new AbortController()
    const all = new Attempts(processor, new OutputEncoder(new Map(), 1, 1_000, 1_000), 1, task.signal)
    const span = startChild('test', SpanKind.INTERNAL, ROOT_CONTEXT)
    const run = () =>
      all.run({
        event: eventOf('crm', {}),
        round: { generation: 0, attempt: 1 },
        span,
        log: () => silent,
        hold() {},
      })
    return { run, task }
  }

  it('succeeds when the handler returns, or what it returns is fulfilled', async () => {
    assert.equal((await attempts(() => {}).run()).kind, 'succeeded')
    assert.equal((await attempts(() => sleep(1)).run()).kind, 'succeeded')
  })

  it('fails when the handler throws or rejects, whatever the value', async () => {
    const thrower: Handler = () => {
      throw undefined
    }
    assert.equal((await attempts(thrower).run()).kind, 'failed')
    assert.equal((await attempts(() => Promise.reject('text')).run()).kind, 'failed')
  })

  it('ends at its timeout, and aborts the signal of a handler that asked for it before or asks for it later', async () => {
    let early: AbortSignal | undefined
    let context: HandlerContext | undefined
    const result = await attempts((_, given) => {
      early = given.signal
      return new Promise(() => {})
    }, '20ms').run()
    await attempts((_, given) => {
      context = given
      return new Promise(() => {})
    }, '20ms').run()
    assert.ok(result.kind === 'failed')
    assert.equal(result.failure.code, 'SP_HANDLER_TIMEOUT')
    assert.equal(early?.aborted, true)
    assert.equal(context?.signal.aborted, true)
  })

  it('is abandoned when its task ends: one that runs hears of it, and none begins', async () => {
    let signal: AbortSignal | undefined
    const { run, task } = attempts((_, given) => {
      signal = given.signal
      return new Promise(() => {})
    })
    const running = run()
    task.abort(new Error('the task has ended'))
    assert.equal((await running).kind, 'abandoned')
    assert.equal(signal?.aborted, true)
    signal = undefined
    assert.equal((await run()).kind, 'abandoned')
    assert.equal(signal, undefined)
  })

  it('is not waited for when the handler rejects behind its timeout', async () => {
    const late = Promise.withResolvers<void>()
    assert.equal((await attempts(() => late.promise, '20ms').run()).kind, 'failed')
    late.reject(new Error('late'))
    await sleep(1)
  })

  it('takes nothing that is emitted after its end', async () => {
    let context: HandlerContext | undefined
    await attempts((_, given) => {
      context = given
    }).run()
    assert.throws(() => context?.emit('any', {}), { code: 'SP_EMIT' })
  })
})
