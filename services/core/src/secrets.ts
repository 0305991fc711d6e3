import { readFileSync } from 'node:fs'
import { errorMessage, SallyportError } from './errors.ts'

const REFERENCE = /^\$\{(env|file):([^}]+)\}$/
/** Settings whose text must be a reference, so that no secret ever stands in sallyport.yaml. */
const SECRET_KEYS = new Set(['secrets', 'sealingKeys', 'password', 'verifyToken', 'privateKey'])

/**
 * A source's settings with every `${env:NAME}` and `${file:PATH}` replaced by what it refers to (a file's last
 * newline is cut). Throws `SP_SECRET_MISSING` where one is unset or empty, `SP_SETTINGS` where a secret is
 * written out. The values never reach a log or an error's message.
 */
export function resolveSecrets<T>(settings: T, place: string, env: NodeJS.ProcessEnv): T {
  return resolve(settings, place, env, false) as T
}

function resolve(value: unknown, place: string, env: NodeJS.ProcessEnv, secret: boolean): unknown {
  if (typeof value === 'string') return resolveText(value, place, env, secret)
  if (Array.isArray(value)) return value.map((item, i) => resolve(item, `${place}[${i}]`, env, secret))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      resolve(item, `${place}.${key}`, env, secret || SECRET_KEYS.has(key)),
    ]),
  )
}

function resolveText(text: string, place: string, env: NodeJS.ProcessEnv, secret: boolean): string {
  const match = REFERENCE.exec(text)
  if (match === null) {
    if (!secret) return text
    throw new SallyportError(
      'SP_SETTINGS',
      `${place} must not hold the secret itself: write \${env:NAME} or \${file:PATH} and put it there`,
    )
  }
  const [, kind, name] = match as unknown as [string, 'env' | 'file', string]
  const value = kind === 'env' ? (env[name] ?? '') : readSecretFile(name, place)
  if (value === '') {
    const remedy = kind === 'env' ? `set the variable ${name}` : `write the secret into ${name}`
    throw new SallyportError('SP_SECRET_MISSING', `${place} is required and empty: ${remedy}`)
  }
  return value
}

function readSecretFile(file: string, place: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
  } catch (error) {
    throw new SallyportError(
      'SP_SECRET_MISSING',
      `${place} is required and cannot be read (${errorMessage(error)}): write the secret into ${file}`,
    )
  }
}
