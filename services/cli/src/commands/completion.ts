import tab from '@bomb.sh/tab/commander'
import type { Command } from 'commander'

const EXAMPLES = `
Examples:
  source <(sallyport completion bash)
  source <(sallyport completion zsh)
  sallyport completion fish > ~/.config/fish/completions/sallyport.fish`

/** `sallyport completion`: a shell's completion script. It is registered last: it completes what is there then. */
export function register(program: Command): void {
  tab(program, { completionCommandName: 'completion' })
  program.commands
    .find(command => command.name() === 'completion')
    ?.description('print a shell’s completion script')
    .addHelpText('after', EXAMPLES)
}
