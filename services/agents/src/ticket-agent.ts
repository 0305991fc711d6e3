import { setTimeout as sleep } from 'node:timers/promises'
import { durationMs } from '@sallyport/core/duration'
import { defineProcessor, type Event, Fatal } from '@sallyport/processor'

/** A ticket's status update as the CRM sends it. */
interface TicketUpdate {
  readonly agent_id: string
  readonly status: string
}

const WORK_DEFAULT = '2s'

/**
 * The agent that follows ticket updates. It works for a while (`settings.work`, default 2s) and reports on
 * `sallyport.agent-events`. Agent `agent_XYZ` cannot handle the status `error`: that update fails every time, so
 * that one can watch retries and a dead letter.
 */
export default defineProcessor({
  name: 'ticket-agent',
  version: '1',
  sources: ['crm'],
  retry: ['5s', '30s', '5m'],
  timeout: '30s',
  outputs: { 'sallyport.agent-events': 'agent-event.v1' },
  async handler(event, { signal, attempt, settings, emit }) {
    const update = ticketUpdate(event)
    await sleep(durationMs(String(settings.work ?? WORK_DEFAULT), 'ticket-agent.settings.work'), undefined, {
      signal,
    })
    if (update.agent_id === 'agent_XYZ' && update.status === 'error') {
      throw new Error('agent_XYZ cannot recover from the status error')
    }
    emit('sallyport.agent-events', {
      eventId: event.id,
      agentId: update.agent_id,
      status: update.status,
      attempt,
      processedAt: Date.now(),
    })
  },
})

function ticketUpdate(event: Event): TicketUpdate {
  const update: unknown = JSON.parse(event.body.toString())
  const { agent_id, status } = (update ?? {}) as Partial<TicketUpdate>
  if (typeof agent_id !== 'string' || typeof status !== 'string') {
    throw new Fatal('the update has no agent_id or no status')
  }
  return { agent_id, status }
}
