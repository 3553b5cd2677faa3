import { type Command, Option } from 'commander';
import type { Role } from '../client/index.ts';
import { type CommonOptions, clientOf, type Io, printJson, terminalWidth, withCommonOptions } from './context.ts';
import { renderTable } from './table.ts';

const ROLES: readonly Role[] = ['writer', 'reader', 'auditor', 'operator'];

export function addKeys(program: Command, io: Io): void {
  const keys = program.command('keys').summary('make, list and revoke keys').description('Keys, for operators.');
  const create = keys
    .command('create')
    .description('Make a key. It is printed this once; the service keeps only its HMAC.')
    .addHelpText('after', '\nExample:\n  $ indelible keys create --workspace hono --role writer --name billing');
  withCommonOptions(create)
    .addOption(new Option('--role <role>', 'what it allows').choices(ROLES).makeOptionMandatory())
    .requiredOption('--name <name>', "whose it is: the actor of what it does to the service's own journal")
    .action(async (options: CommonOptions & { role: Role; name: string }) => {
      const { role, name, workspace } = options;
      const client = clientOf(io, { ...options, workspace: undefined });
      const created = await client.keys.create({ role, name, workspace }, { signal: io.signal });
      if (options.json) printJson(io, created);
      else io.stdout.write(`${created.key}\n`);
    });
  const list = keys
    .command('list')
    .description('List the keys, revoked ones too.')
    .addHelpText('after', '\nExample:\n  $ indelible keys list');
  withCommonOptions(list).action(async (options: CommonOptions) => {
    const all = await clientOf(io, { ...options, workspace: undefined }).keys.list({ signal: io.signal });
    const found = all.filter((key) => options.workspace === undefined || key.workspace === options.workspace);
    if (options.json) {
      printJson(io, found);
      return;
    }
    const titles = ['id', 'workspace', 'role', 'name', 'created_at', 'revoked_at'];
    const rows = found.map((key) => [
      key.id,
      key.workspace ?? '*',
      key.role,
      key.name,
      key.created_at,
      key.revoked_at ?? '',
    ]);
    io.stdout.write(
      renderTable(
        titles.map((title) => ({ title })),
        rows,
        terminalWidth(io),
      ),
    );
  });
  const revoke = keys
    .command('revoke')
    .argument('<id>', 'the id of the key, as `keys list` shows it')
    .description('Revoke a key.')
    .addHelpText('after', '\nExample:\n  $ indelible keys revoke abcdefghijkl');
  withCommonOptions(revoke).action(async (id: string, options: CommonOptions) => {
    const revoked = await clientOf(io, { ...options, workspace: undefined }).keys.revoke(id, { signal: io.signal });
    if (options.json) printJson(io, revoked);
    else io.stdout.write(`revoked ${revoked.id} (${revoked.role} of ${revoked.workspace ?? 'all workspaces'})\n`);
  });
}

export function addWorkspaces(program: Command, io: Io): void {
  const workspaces = program
    .command('workspaces')
    .summary('make and list workspaces')
    .description('Workspaces, for operators.');
  const create = workspaces
    .command('create')
    .argument('<name>', 'lower-case letters, digits, _ and -; at most 63')
    .description("Make a workspace. An operator's first append to it would do so too.")
    .addHelpText('after', '\nExample:\n  $ indelible workspaces create hono');
  withCommonOptions(create).action(async (id: string, options: CommonOptions) => {
    const client = clientOf(io, { ...options, workspace: undefined });
    const workspace = await client.workspaces.create(id, { signal: io.signal });
    if (options.json) printJson(io, workspace);
    else io.stdout.write(`${workspace.id}\n`);
  });
  const list = workspaces
    .command('list')
    .description('List the workspaces.')
    .addHelpText('after', '\nExample:\n  $ indelible workspaces list');
  withCommonOptions(list).action(async (options: CommonOptions) => {
    const found = await clientOf(io, { ...options, workspace: undefined }).workspaces.list({ signal: io.signal });
    if (options.json) {
      printJson(io, found);
      return;
    }
    const titles = ['id', 'created_at', 'created_by', 'closed_at'];
    const rows = found.map(({ id, created_at, created_by, closed_at }) => [
      id,
      created_at,
      created_by,
      closed_at ?? '',
    ]);
    io.stdout.write(
      renderTable(
        titles.map((title) => ({ title })),
        rows,
        terminalWidth(io),
      ),
    );
  });
}
