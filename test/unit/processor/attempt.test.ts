import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { ROOT_CONTEXT } from '@opentelemetry/api'
import { createLog } from '@sallyport/core/log'
import { looseEndsTotal } from '@sallyport/core/metrics'
import { SpanKind, startChild } from '@sallyport/core/trace'
import { defineProcessor, Fatal, type Handler, type HandlerContext } from '@sallyport/processor'
import { Attempts } from '@sallyport/processor/attempt'
import { configure } from '@sallyport/processor/config'
import { type Charged, chargeLooseEnd, type LooseEnd } from '@sallyport/processor/loose-ends'
import { OutputEncoder } from '@sallyport/processor/outputs'
import { eventOf } from '../../support/events.ts'

describe('an attempt', () => {
  const silent = createLog('test', { write() {} })

  const limits = { recordBytesMax: 1_000, emitBytesMax: 1_000, transactionPartitionsMax: 1 }

  function attempts(handler: Handler, timeout = '30s') {
    const processor = configure(defineProcessor({ name: 'test', timeout, handler }), {})
    const task = new AbortController()
    const all = new Attempts(processor, new OutputEncoder(new Map(), 1, limits), 1, task.signal)
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

  describe('whose handler leaves something running', () => {
    const lines: string[] = []
    const log = createLog('test', { write: line => lines.push(line) })
    const charged: Charged[] = []
    const EVENTS = { rejection: 'unhandledRejection', exception: 'uncaughtException' } as const
    let others: { event: string; listeners: NodeJS.UncaughtExceptionListener[] }[]

    // In place of mocha's own listeners, as the service has its own.
    before(() => {
      others = Object.entries(EVENTS).map(([looseEnd, event]) => {
        const listeners = process.listeners(event as 'uncaughtException')
        process.removeAllListeners(event)
        process.on(event, (error: unknown) => {
          charged.push(chargeLooseEnd(error, looseEnd as LooseEnd, log))
        })
        return { event, listeners }
      })
    })
    after(() => {
      for (const { event, listeners } of others) {
        process.removeAllListeners(event)
        for (const listener of listeners) process.on(event, listener)
      }
    })
    beforeEach(() => {
      charged.length = 0
      lines.length = 0
    })

    const fail = () => {
      throw new Error('loose')
    }

    it('fails by its rejection, and its signal tells the handler', async () => {
      let signal: AbortSignal | undefined
      const result = await attempts((_, given) => {
        signal = given.signal
        void Promise.reject(new Fatal('loose'))
        return new Promise(() => {})
      }).run()
      assert.ok(result.kind === 'failed')
      assert.deepEqual([result.failure.code, result.failure.kind], ['SP_HANDLER_FATAL', 'fatal'])
      assert.equal(signal?.aborted, true)
    })

    for (const [where, leave] of Object.entries({
      'a timer': () => setTimeout(fail),
      'a microtask': () => queueMicrotask(fail),
      'an emitter of Node’s': () => connect(1, '127.0.0.1'),
    })) {
      it(`fails as crashed by an exception in ${where}`, async () => {
        const result = await attempts(() => {
          leave()
          return new Promise(() => {})
        }).run()
        assert.equal(result.kind === 'failed' && result.failure.code, 'SP_HANDLER_CRASHED')
      })
    }

    it('is not failed by another one’s', async () => {
      const other = attempts(() => sleep(30)).run()
      const result = await attempts(() => {
        void Promise.reject(new Error('loose'))
        return new Promise(() => {})
      }).run()
      assert.deepEqual([result.kind, (await other).kind], ['failed', 'succeeded'])
    })

    it('stands once it has ended; the fault is logged with its event and counted', async () => {
      const before = await looseEnds()
      const result = await attempts(() => {
        setTimeout(() => void Promise.reject(new Error('loose')), 5)
      }).run()
      await sleep(20)
      assert.equal(result.kind, 'succeeded')
      assert.match(lines.join(''), /"event":"crm.*SP_HANDLER_LOOSE_END.*loose/)
      assert.equal(await looseEnds(), before + 1)
    })

    it('is not blamed for what comes from no attempt', async () => {
      void Promise.reject(new Error('loose'))
      await sleep(5)
      assert.deepEqual(charged, ['nobody'])
    })

    async function looseEnds(): Promise<number> {
      const { values } = await looseEndsTotal.get()
      return values.find(({ labels }) => labels.processor === 'test')?.value ?? 0
    }
  })

  it('takes nothing that is emitted after its end', async () => {
    let context: HandlerContext | undefined
    await attempts((_, given) => {
      context = given
    }).run()
    assert.throws(() => context?.emit('any', {}), { code: 'SP_EMIT' })
  })
})
