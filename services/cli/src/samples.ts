import { randomBytes } from 'node:crypto'

/** A CRM's ticket update, as the `crm` source takes it. */
export interface TicketUpdate {
  readonly agent_id: string
  readonly status: string
  readonly ticket_id: string
  readonly message?: string
  /** ISO 8601; it is signed with the body, and the source refuses old ones. */
  readonly timestamp: string
}

const UPDATES: readonly Omit<TicketUpdate, 'ticket_id' | 'timestamp'>[] = [
  { agent_id: 'agent_ABC', status: 'open', message: 'Customer cannot sign in since this morning.' },
  { agent_id: 'agent_ABC', status: 'in_progress', message: 'Password reset sent.' },
  { agent_id: 'agent_DEF', status: 'waiting_for_customer' },
  { agent_id: 'agent_XYZ', status: 'error', message: 'The billing API answered 500.' },
  { agent_id: 'agent_DEF', status: 'resolved', message: 'Invoice corrected.' },
]

/**
 * Five ticket updates with fresh ticket ids, one of which (`agent_XYZ`, `error`) the ticket agent fails on.
 * `now` is ms since the epoch.
 */
export function sampleUpdates(now: number = Date.now()): TicketUpdate[] {
  return UPDATES.map(update => ({
    ...update,
    ticket_id: `T-${randomBytes(5).toString('hex')}`,
    timestamp: new Date(now).toISOString(),
  }))
}
