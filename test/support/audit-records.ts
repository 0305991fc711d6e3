/** Records of the audit for tests. */
import type { AuditRecord, Selection } from '@sallyport/core/audit'

export const BY = { user: 'ann', host: 'h', pid: 1 }

/** Everything that is dead. */
export const SELECTION: Selection = {
  ids: [],
  sources: [],
  types: [],
  reasons: [],
  codes: [],
  text: null,
  from: null,
  to: null,
}

/** The start of a redrive on processor `p`, but for what `fields` say. */
export function auditRecord(fields: Partial<AuditRecord>): AuditRecord {
  return {
    operation: null,
    kind: 'REDRIVE',
    step: 'STARTED',
    processor: 'p',
    by: BY,
    why: '',
    command: '',
    selection: null,
    ranges: [],
    progress: null,
    count: 0,
    checkpoint: null,
    ...fields,
  }
}
