/** The report that a soak leaves in the repository, one for each transaction version. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import os from 'node:os'
import { fileURLToPath } from 'node:url'

const FILES = { 1: '../soak-report-version-1.md', 2: '../soak-report.md' }

/** `result`: the run's last line. */
export function writeSoakReport(version: 1 | 2, result: string, facts: readonly string[]): void {
  const cpus = os.cpus()
  const minutes = Math.round(performance.now() / 60_000)
  const command =
    version === 2 ? 'npm run test:soak' : `npm run test:soak -- --transaction-version ${version}`
  const text = `# The last soak${version === 2 ? '' : `, with transaction version ${version}`}

\`${command}\` wrote this on ${new Date().toISOString().slice(0, 10)}${commit()}: ${minutes} minutes with three brokers and three processes on ${cpus.length} × ${cpus[0]?.model.trim()}, Node ${process.version}.

${facts.map(fact => `- ${fact}`).join('\n')}

\`\`\`text
${result}
\`\`\`
`
  writeFileSync(fileURLToPath(new URL(FILES[version], import.meta.url)), text)
}

/** The commit that ran, where git tells. */
function commit(): string {
  const { stdout } = spawnSync('git', ['describe', '--always', '--dirty', '--exclude', '*'], {
    encoding: 'utf8',
  })
  return stdout?.trim() ? `, of commit ${stdout.trim()}` : ''
}
