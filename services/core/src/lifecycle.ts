/** A service that runs in this process until it is drained. */
export interface RunningService {
  /** For progress lines and logs: `ingress`, `processor`. */
  readonly name: string
  /** Rejects when the service cannot go on by itself; never resolves otherwise. */
  readonly failed: Promise<never>
  /** Takes no more, finishes what is in flight within `deadlineMs`, closes every connection. Idempotent. */
  drain(deadlineMs: number): Promise<void>
}
