import cluster from 'node:cluster'

let asked: Promise<void> | undefined

/**
 * Resolves at the first SIGTERM or SIGINT since the first call; a second signal ends the process as it always would.
 * Services call it before anything else is loaded: as process 1 of a container a signal that nobody listens for is
 * lost.
 */
export function stopSignal(): Promise<void> {
  asked ??= new Promise(resolve => {
    const stop = (): void => {
      process.off('SIGTERM', stop)
      process.off('SIGINT', stop)
      resolve()
    }
    process.on('SIGTERM', stop)
    process.on('SIGINT', stop)
  })
  return asked
}

/** Begins to listen, except in a worker: there the first process decides. */
export function listenForStop(): void {
  if (!cluster.isWorker) void stopSignal()
}
