/** What downstream teams import: `subscribe({ … })` and the types of the contract. */
export type { AgentEvent, Event, Identity, SchemaTypes } from '@sallyport/core/contract'
export { type ErrorCode, SallyportError } from '@sallyport/core/errors'
export { HEADER } from '@sallyport/core/headers'
export type {
  HandlerContext,
  LogLevel,
  PoisonRecord,
  SchemaName,
  SubscribedRecord,
  SubscriberOptions,
} from './options.ts'
export { type Subscription, subscribe } from './subscription.ts'
