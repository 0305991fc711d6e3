import { stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

const LOOK_MS = 2_000

/**
 * Calls `changed` when one of the files is another than before, until `stopping`. Looks every two seconds instead of
 * listening for file system events: mounted configuration (Kubernetes) changes by symbolic links, of which the events
 * say nothing about the file.
 */
export async function watchFiles(
  files: () => readonly string[],
  changed: () => void,
  stopping: AbortSignal,
  lookMs = LOOK_MS,
): Promise<void> {
  let seen = await fingerprint(files())
  while (!stopping.aborted) {
    await sleep(lookMs, undefined, { signal: stopping, ref: false }).catch(() => {})
    const now = await fingerprint(files())
    if (now === seen || stopping.aborted) continue
    const list = files().join('\n')
    changed()
    // What was seen before the files were read: a change behind that, such as the second half of a slow write, is
    // found at the next look. The list itself may be another one now.
    seen = files().join('\n') === list ? now : await fingerprint(files())
  }
}

async function fingerprint(files: readonly string[]): Promise<string> {
  const states = await Promise.all(files.map(file => stat(file).catch(() => undefined)))
  return states.map(state => `${state?.ino} ${state?.mtimeMs} ${state?.size}`).join('\n')
}
