/** A file system of its own, in memory, that can be full without harm to anything else. Mounting takes root. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const ROOMY = '2g'
/** What is left when it is full: less than a broker needs for a moment. */
const REST_BYTES = 65_536

export class SmallDisk {
  readonly folder: string

  private constructor(folder: string) {
    this.folder = folder
  }

  /** Undefined where this process may not mount. */
  static async mount(): Promise<SmallDisk | undefined> {
    const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-disk-'))
    try {
      await run('mount', ['-t', 'tmpfs', '-o', `size=${ROOMY}`, 'sallyport-chaos', folder])
    } catch {
      rmSync(folder, { recursive: true })
      return undefined
    }
    return new SmallDisk(folder)
  }

  /** Leaves no room for what comes next. */
  async fill(): Promise<void> {
    const { bsize, blocks, bfree } = await statfs(this.folder)
    await this.#resize(String((blocks - bfree) * bsize + REST_BYTES))
  }

  async free(): Promise<void> {
    await this.#resize(ROOMY)
  }

  async unmount(): Promise<void> {
    await run('umount', [this.folder])
    rmSync(this.folder, { recursive: true })
  }

  async #resize(size: string): Promise<void> {
    await run('mount', ['-o', `remount,size=${size}`, this.folder])
  }
}
