/** The URL of a source whose sender signs it: the one that was registered there, and not what a stranger's Host says. */
import { SallyportError } from '@sallyport/core/errors'
import type { Preset, Scheme, SignedUrl } from './schemes/scheme.ts'
import { compileTemplate } from './schemes/template.ts'
import { bad, type SourceSettings } from './source-settings.ts'

/** How much of the URL the sender of a source signs. */
export function signedUrlOf(preset: Preset | null, row: Scheme | null): SignedUrl {
  if (preset?.code !== undefined) return preset.signedUrl ?? 'none'
  if (row === null || row.algorithm === 'token' || row.algorithm === 'basic') return 'none'
  return compileTemplate(row.signed ?? '{body}', 'scheme.signed').url ? 'whole' : 'none'
}

/** The setting `url`; throws `SP_SETTINGS` where it is no URL, or nothing of the URL is signed. */
export function urlOf(name: string, { url }: SourceSettings, signed: SignedUrl): string | undefined {
  if (url === undefined) return undefined
  if (!URL.canParse(url)) throw bad(name, 'url', 'must be the whole URL as registered at the sender')
  if (signed === 'none') {
    throw bad(name, 'url', 'is only for senders that sign the URL, and this one does not: remove it')
  }
  return url
}

/** What `requireUrl` needs to know of a source. */
interface UrlSigner {
  readonly name: string
  readonly scheme: string
  readonly signedUrl: SignedUrl
  readonly url: string | undefined
}

/**
 * Refuses to take scheme and host of a signed URL from whoever calls: with a Host of his own a stranger could give one
 * captured signature other texts. On a loopback listener, where nobody else calls, they are taken. Throws `SP_SETTINGS`.
 */
export function requireUrl(
  { name, scheme, signedUrl, url }: UrlSigner,
  publicUrl: string | undefined,
  loopback: boolean,
): void {
  if (signedUrl !== 'whole' || url !== undefined || publicUrl !== undefined || loopback) return
  throw new SallyportError(
    'SP_SETTINGS',
    `sources.${name}.url is required, because ${scheme} signs the URL: set it to the one that is registered at the sender, or set ingress.publicUrl`,
  )
}
