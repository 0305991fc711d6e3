/**
 * One request to a broker and how its answer is read. Kafka's error codes are part of an answer here, never thrown: what
 * follows from one depends on the step of the transaction (verdict.ts).
 */
import { type Connection as KafkaConnection, type Reader, Writer } from '@platformatic/kafka'

/** A request of one version of one API; `write` makes its body, `read` takes the answer's. */
export interface Request<T> {
  /** Kafka's name of the API, for messages. */
  readonly name: string
  readonly key: number
  readonly version: number
  /** Answers to ApiVersions have the old header in every version. */
  readonly hasPlainAnswerHeader?: boolean
  write(writer: Writer): Writer
  read(reader: Reader): T
}

/** Sends a request. Rejects when no answer comes: then it may or may not have been carried out. */
export function exchange<T>(connection: KafkaConnection, request: Request<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    connection.send<T>(
      request.key,
      request.version,
      () => request.write(Writer.create()),
      (_correlationId, _key, _version, reader) => request.read(reader),
      true,
      request.hasPlainAnswerHeader !== true,
      (error, answer) => (error === null ? resolve(answer as T) : reject(error)),
    )
  })
}
