import { randomBytes } from 'node:crypto'

/** Tells this process from every other one; members of a group tell it each other, and owners write it down. */
export const PROCESS_ID = randomBytes(9).toString('base64url')
