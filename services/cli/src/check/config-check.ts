import { report } from './finding.ts'
import { checkSettings } from './settings-check.ts'

interface CheckOptions {
  readonly config: string
  readonly json: boolean
}

/** `sallyport config check`. */
export async function checkConfig({ config, json }: CheckOptions): Promise<void> {
  const { findings } = await checkSettings(config, process.env)
  await report(findings, json)
}
