/** Checks what stands in `sallyport.yaml`, and what it names: secrets, certificate, modules. Nothing is asked of a network. */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type Clock, systemClock } from '@sallyport/core/clock'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import { loadSettings, type Settings } from '@sallyport/core/settings'
import { openDoors } from '@sallyport/ingress/config'
import type { Source } from '@sallyport/ingress/sources'
import { loadProcessors } from '@sallyport/processor/config'
import { crmSecretFile, withCrmSecret } from '../start/crm-secret.ts'
import { homeFolder } from '../start/home.ts'
import { type Finding, notice, ok, problem, warning } from './finding.ts'

const DAY_MS = 86_400_000
/** A secret of fewer bytes is worth a warning: 128 bits are what nobody guesses (RFC 2104, 3; RFC 4086). */
const SECRET_BYTES_MIN = 16
/** A certificate that has less time left is worth a warning. */
const CERTIFICATE_DAYS_MIN = 21

export interface SettingsCheck {
  readonly findings: readonly Finding[]
  /** Undefined where the file cannot be used at all. */
  readonly settings: Settings | undefined
}

export async function checkSettings(
  file: string,
  env: NodeJS.ProcessEnv,
  clock: Clock = systemClock,
): Promise<SettingsCheck> {
  let settings: Settings
  try {
    settings = loadSettings(file, env)
  } catch (error) {
    return { findings: [problem(file, error)], settings: undefined }
  }
  const findings = [
    ok(file, 'fits its schema'),
    ...Object.keys(settings.sources).flatMap(name => checkSource(settings, name, env)),
    ...checkCertificate(settings, clock()),
    ...(await checkProcessors(settings)),
  ]
  return { findings, settings }
}

function checkSource(settings: Settings, name: string, env: NodeJS.ProcessEnv): Finding[] {
  const about = `source ${name}`
  try {
    const source = sourceOf(settings, name, env)
    const findings = checkSecrets(name, source)
    if (source?.learns) {
      const text = `${source.scheme}, at /webhooks/${name}, learns its secret: sallyport sources learn ${name}`
      return [ok(about, text), ...findings]
    }
    return [ok(about, `${source?.scheme}, at /webhooks/${name}`), ...findings]
  } catch (error) {
    return [startsHere(settings, name, env) ?? problem(about, error)]
  }
}

function checkSecrets(name: string, source: Source | undefined): Finding[] {
  const bytes = source?.keyBytesMin ?? SECRET_BYTES_MIN
  if (bytes >= SECRET_BYTES_MIN) return []
  const text = `the shortest has ${bytes} bytes, and may be guessed: set one of at least ${SECRET_BYTES_MIN} at the sender and here`
  return [warning(`secrets of ${name}`, text)]
}

function sourceOf(settings: Settings, name: string, env: NodeJS.ProcessEnv): Source | undefined {
  const entry = settings.sources[name] as Settings['sources'][string]
  return openDoors({ ...settings, sources: { [name]: entry } }, env, systemClock).get(name)?.source
}

/** The finding of a source that lacks nothing but the secret that `npm start` keeps, and no other command knows. */
function startsHere(settings: Settings, name: string, env: NodeJS.ProcessEnv): Finding | undefined {
  const home = homeFolder(env)
  try {
    const scheme = sourceOf(settings, name, withCrmSecret(home, env))?.scheme
    const file = crmSecretFile(home)
    return notice(
      `source ${name}`,
      `${scheme}, at /webhooks/${name}, with the secret that npm start keeps in ${file}; sallyport ingress would not start without it: set CRM_WEBHOOK_SECRET there`,
    )
  } catch {
    return undefined
  }
}

function checkCertificate({ ingress: { tls } }: Settings, now: number): Finding[] {
  if (tls === undefined) return []
  const about = 'certificate'
  try {
    const { validFrom, validTo } = new X509Certificate(readFileSync(tls.cert))
    const days = Math.floor((Date.parse(validTo) - now) / DAY_MS)
    if (days < 0) return [expired(`${tls.cert} expired on ${validTo}: renew it`)]
    if (Date.parse(validFrom) > now)
      return [expired(`${tls.cert} is valid from ${validFrom} on: check the clock`)]
    const text = `${tls.cert} is valid for ${days} more days`
    return [days < CERTIFICATE_DAYS_MIN ? warning(about, `${text}: renew it`) : ok(about, text)]
  } catch (error) {
    return [expired(`${tls.cert} cannot be read (${errorMessage(error)}): put a PEM certificate there`)]
  }

  function expired(text: string): Finding {
    return problem(about, new SallyportError('SP_SETTINGS', text))
  }
}

async function checkProcessors(settings: Settings): Promise<Finding[]> {
  if (settings.processors.length === 0) {
    return [
      warning(
        'processors',
        'none: events are accepted, and nobody handles them. Try: npx sallyport add processor my-agent',
      ),
    ]
  }
  try {
    const processors = await loadProcessors(settings)
    return processors.map(({ name, delaysMs }) =>
      ok(`processor ${name}`, `loads; ${delaysMs.length} retry tiers`),
    )
  } catch (error) {
    return [problem('processors', error)]
  }
}
