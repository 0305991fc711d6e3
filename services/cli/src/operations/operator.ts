import { hostname, userInfo } from 'node:os'
import type { Operation, Operator } from '@sallyport/core/audit'
import { isAlive } from '../process-alive.ts'

/** Who runs this command, and from where. */
export function thisOperator(): Operator {
  return { user: userName(), host: hostname(), pid: process.pid }
}

export function operatorText({ user, host, pid }: Operator): string {
  return `${user}@${host} (process ${pid})`
}

/** Whether the runner of an operation is known to have ended: it ran on this machine, and no such process lives. */
export function isOrphaned({ lastBy }: Operation): boolean {
  return lastBy.host === hostname() && !isAlive(lastBy.pid)
}

/** In a container the user may have a number and no name. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return String(process.getuid?.() ?? 'unknown')
  }
}
