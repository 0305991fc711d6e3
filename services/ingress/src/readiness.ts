/**
 * Whether this ingress takes deliveries.
 *
 *     starting ──provisioned──▶ ready ◀──▶ unreachable
 *         │                       └──────┬──────┘
 *         │                              ├──▶ outgrown
 *         └──────────────┬───────────────┴───────┘
 *                        ▼
 *                    draining                        (final)
 *
 * | state       | deliveries                   | /health/ready |
 * |-------------|------------------------------|---------------|
 * | starting    | 503 at once                  | 503           |
 * | ready       | taken                        | 200           |
 * | unreachable | taken, 503 at their deadline | 503           |
 * | outgrown    | 503 at once                  | 503           |
 * | draining    | what still comes in is taken | 503           |
 *
 * Outgrown: the topic has other partitions than the settings say, and only other settings help.
 *
 * While Kafka is away deliveries are still tried: the outage may be over before their deadline is.
 */

export type ReadinessState = 'starting' | 'ready' | 'unreachable' | 'outgrown' | 'draining'

export class Readiness {
  #state: ReadinessState = 'starting'
  readonly #onChange: (state: ReadinessState) => void

  constructor(onChange: (state: ReadinessState) => void) {
    this.#onChange = onChange
  }

  get state(): ReadinessState {
    return this.#state
  }

  /** The topics and the schema are there. */
  provisioned(): void {
    if (this.#state === 'starting') this.#to('ready')
  }

  /** Kafka answers, or does not. */
  reachable(answers: boolean): void {
    if (this.#state === 'ready' && !answers) this.#to('unreachable')
    else if (this.#state === 'unreachable' && answers) this.#to('ready')
  }

  /** The settings no longer say how many partitions the topic has. */
  outgrown(): void {
    if (this.#state === 'ready' || this.#state === 'unreachable') this.#to('outgrown')
  }

  draining(): void {
    if (this.#state !== 'draining') this.#to('draining')
  }

  #to(state: ReadinessState): void {
    this.#state = state
    this.#onChange(state)
  }
}
