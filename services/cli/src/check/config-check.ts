import { withCrmSecret } from '../start/crm-secret.ts'
import { homeFolder } from '../start/home.ts'
import { report } from './finding.ts'
import { checkSettings } from './settings-check.ts'

interface CheckOptions {
  readonly config: string
  readonly json: boolean
}

/** `sallyport config check`. */
export async function checkConfig({ config, json }: CheckOptions): Promise<void> {
  const { findings } = await checkSettings(config, withCrmSecret(homeFolder(process.env), process.env))
  await report(findings, json)
}
