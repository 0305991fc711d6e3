import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const VARIABLE = 'CRM_WEBHOOK_SECRET'

/** Where the secret that `npm start` made stands. */
export function crmSecretFile(home: string): string {
  return join(home, 'crm-webhook-secret')
}

/** The secret that the `crm` source verifies with: `CRM_WEBHOOK_SECRET`, else the one that `npm start` made. */
export function crmSecret(home: string, env: NodeJS.ProcessEnv): string | undefined {
  const set = env[VARIABLE]
  if (set !== undefined && set !== '') return set
  try {
    return readFileSync(crmSecretFile(home), 'utf8').trim() || undefined
  } catch {
    return undefined
  }
}

/**
 * Sees that `CRM_WEBHOOK_SECRET` is set in `env`: when it is not, from a random secret that is kept across starts,
 * readable by its owner alone. Returns the file that holds it, or undefined when the user has set the variable.
 */
export function ensureCrmSecret(home: string, env: NodeJS.ProcessEnv): string | undefined {
  if (env[VARIABLE] !== undefined && env[VARIABLE] !== '') return undefined
  const file = crmSecretFile(home)
  const kept = crmSecret(home, {})
  if (kept === undefined) writeFileSync(file, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 })
  env[VARIABLE] = crmSecret(home, {})
  return file
}

/** The environment in which the services of `npm start` see their settings. */
export function withCrmSecret(home: string, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { ...env, [VARIABLE]: crmSecret(home, env) }
}
