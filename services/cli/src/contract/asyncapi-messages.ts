/** The records of the topics as AsyncAPI messages: headers, key, value. */
import { AUDIT_SCHEMA } from '@sallyport/core/audit'
import { type AvroSchema, EVENT_SCHEMA } from '@sallyport/core/codec'
import { HEADER } from '@sallyport/core/headers'
import { SOURCE_SECRET_SCHEMA } from '@sallyport/core/source-secrets'
import { BARRIER_SCHEMA, CLAIM_SCHEMA, POSITIONS_SCHEMA } from '@sallyport/processor/config'

export type Json = Record<string, unknown>

const AVRO = 'application/vnd.apache.avro;version=1.9.0'
const BINDING_VERSION = '0.5.0'

/** CloudEvents in binary mode, and the trace. */
const CLOUD_EVENT_HEADERS: Json = {
  [HEADER.specVersion]: { type: 'string', const: '1.0' },
  [HEADER.id]: {
    type: 'string',
    description:
      'The same for every repetition of the same thing, so it serves as the idempotency key: the event id; of the n-th further record that one attempt emitted, the event id and #n.',
  },
  [HEADER.source]: {
    type: 'string',
    description: 'Of events the source in sallyport.yaml; of outputs the processor, sallyport.NAME.',
  },
  [HEADER.type]: {
    type: 'string',
    description: 'Of events the sender’s type; of outputs the schema’s full name.',
  },
  [HEADER.time]: { type: 'string', format: 'date-time' },
  [HEADER.traceparent]: {
    type: 'string',
    description: 'W3C Trace Context of what wrote the record; absent where it belongs to no trace.',
  },
}

const HOP_HEADERS: Json = {
  [HEADER.attempt]: { type: 'string', description: 'Number of the attempt; 1 is the first.' },
  [HEADER.generation]: {
    type: 'string',
    description: 'Offset in sallyport.audit of the operation that sent it round again.',
  },
  [HEADER.replayed]: {
    type: 'string',
    const: 'true',
    description: 'On past events that were run again on purpose.',
  },
  [HEADER.redriven]: {
    type: 'string',
    description:
      'On dead letters that were sent round again: 0, or the generation of the replay that could not read it.',
  },
  [HEADER.history]: { type: 'string', description: 'JSON list of the attempts so far, oldest first.' },
  [HEADER.origin]: { type: 'string', description: 'Where it was first read: topic/partition/offset.' },
}

const DEAD_LETTER_HEADERS: Json = {
  [HEADER.reason]: { type: 'string', enum: ['exhausted', 'fatal', 'poison', 'crashed'] },
  [HEADER.code]: { type: 'string', description: 'Error code of the last failure.' },
  [HEADER.message]: {
    type: 'string',
    maxLength: 1000,
    description: 'Message of the last failure: untrusted text.',
  },
  [HEADER.processor]: { type: 'string', description: 'NAME@VERSION of the processor that gave up.' },
}

/** Full name's last part: what the message is called in the document. */
export function messageName(schema: AvroSchema): string {
  return schema.name.slice(schema.name.lastIndexOf('.') + 1)
}

/** A record that a processor emits. */
export function outputMessage(schema: AvroSchema): Json {
  return message(schema, CLOUD_EVENT_HEADERS, 'The event id, unless the processor chose another key.')
}

const EVENT_KEY = 'The event id.'
const CLAIM_KEY = 'The event id; #positions and #barrier for those two.'

/** The messages that every pipeline has. */
export const MESSAGES: Readonly<Json> = {
  Event: message(EVENT_SCHEMA, CLOUD_EVENT_HEADERS, EVENT_KEY),
  Retry: message(EVENT_SCHEMA, { ...CLOUD_EVENT_HEADERS, ...HOP_HEADERS }, EVENT_KEY),
  DeadLetter: message(
    EVENT_SCHEMA,
    { ...CLOUD_EVENT_HEADERS, ...HOP_HEADERS, ...DEAD_LETTER_HEADERS },
    'The event id. Of a poison record whatever its key was; its value is then no Event either.',
  ),
  Claim: message(CLAIM_SCHEMA, {}, CLAIM_KEY),
  Positions: message(POSITIONS_SCHEMA, {}, CLAIM_KEY),
  Barrier: message(BARRIER_SCHEMA, {}, CLAIM_KEY),
  SourceSecret: message(SOURCE_SECRET_SCHEMA, {}, 'The name of the source.'),
  AuditRecord: message(
    AUDIT_SCHEMA,
    {},
    'The name of the processor; #checkpoint for a part of a checkpoint.',
  ),
}

function message(schema: AvroSchema, headers: Json, key: string): Json {
  const avro = JSON.parse(schema.text) as { doc?: string }
  return {
    name: schema.name,
    summary: avro.doc ?? schema.name,
    contentType: 'application/vnd.apache.avro+binary',
    ...(Object.keys(headers).length === 0 ? {} : { headers: { type: 'object', properties: headers } }),
    payload: { schemaFormat: AVRO, schema: avro },
    bindings: {
      kafka: {
        key: { type: 'string', description: key },
        schemaIdLocation: 'payload',
        schemaIdPayloadEncoding: 'confluent',
        bindingVersion: BINDING_VERSION,
      },
    },
  }
}
