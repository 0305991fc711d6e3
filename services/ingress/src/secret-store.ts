/**
 * Secrets that a sender hands over in its handshake (Asana, Notion), one file per source. The file is written once:
 * a later handshake, which anybody could send, never replaces it. Ingresses that share the file share the secret.
 */
import { randomBytes } from 'node:crypto'
import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs'

/** The stored secret, or undefined where none was stored yet. */
export function storedSecret(file: string): string | undefined {
  try {
    const secret = readFileSync(file, 'utf8').replace(/\r?\n$/, '')
    return secret === '' ? undefined : secret
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Stores a secret, readable by this user only; false where one is stored already. Throws what the file system says. */
export function storeSecret(file: string, secret: string): boolean {
  const draft = `${file}.${randomBytes(6).toString('hex')}`
  writeFileSync(draft, `${secret}\n`, { mode: 0o600, flag: 'wx' })
  try {
    linkSync(draft, file)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    rmSync(draft, { force: true })
  }
}
