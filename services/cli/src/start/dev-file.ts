import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isAlive } from '../process-alive.ts'

/** `.sallyport/dev.json`: where a running `npm start` is. It exists only while everything is ready. */
export interface DevFile {
  /** Base URL of the ingress, without a slash at the end. */
  readonly ingress: string
  /** `host:port` of each broker. */
  readonly brokers: readonly string[]
  /** Base URL of the schema registry: `{registry}/schemas/ids/1` answers. */
  readonly registry: string
  /** Process of `npm start`. */
  readonly pid: number
}

/** The path of a home's dev.json. */
export function devFilePath(home: string): string {
  return join(home, 'dev.json')
}

/** Writes dev.json by rename: a reader sees all of it or nothing. */
export function writeDevFile(home: string, dev: DevFile): void {
  const file = devFilePath(home)
  const next = `${file}.${process.pid}`
  writeFileSync(next, `${JSON.stringify(dev, null, 2)}\n`)
  renameSync(next, file)
}

/** What runs in a home now; undefined when nothing does, or when what did was killed and left its file. */
export function readDevFile(home: string): DevFile | undefined {
  let dev: DevFile
  try {
    dev = JSON.parse(readFileSync(devFilePath(home), 'utf8')) as DevFile
  } catch {
    return undefined
  }
  return typeof dev?.pid === 'number' && isAlive(dev.pid) ? dev : undefined
}

/** Removes a dev.json, whoever wrote it. */
export function removeDevFile(home: string): void {
  rmSync(devFilePath(home), { force: true })
}
