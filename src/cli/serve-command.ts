import { type Command, Option } from 'commander';
import { type ConfigKey, environmentName, flagName, SETTINGS } from '../settings.ts';
import { configOf, type Io } from './context.ts';

const PLACEHOLDERS = { text: 'text', choice: 'level', count: 'n', bytes: 'bytes' };

export function addServe(program: Command, io: Io): void {
  const command = program
    .command('serve')
    .summary('run the service')
    .description(
      'Run the service. Settings come from indelible.config.json, the environment and these flags; the later wins.',
    )
    .addHelpText('after', '\nExample:\n  $ indelible serve --port 8080 --data ./data');
  for (const setting of SETTINGS) {
    const value = setting.kind === 'flag' ? '' : ` <${PLACEHOLDERS[setting.kind]}>`;
    const initial = setting.initial === undefined || setting.kind === 'flag' ? '' : `, default ${setting.initial}`;
    const description = `${setting.description} (${environmentName(setting)}${initial})`;
    command.addOption(new Option(`${flagName(setting.key)}${value}`, description));
  }
  command.action(async (flags: Partial<Record<ConfigKey, string | boolean>>) => {
    const config = configOf(io, flags);
    // The service is large; the other commands need none of it.
    const { serve } = await import('../serve.ts');
    await serve(config, { stderr: io.stderr, signals: process });
  });
}
