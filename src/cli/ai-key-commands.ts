import { text as textOf } from 'node:stream/consumers';
import type { Command } from 'commander';
import type { AiKeyInfo } from '../client/index.ts';
import { type CommonOptions, clientOf, type Io, printJson, withCommonOptions } from './context.ts';
import { CliError, EXIT } from './exit.ts';
import { renderPairs } from './table.ts';

export function addAiKeys(program: Command, io: Io): void {
  const group = program
    .command('ai-key')
    .summary("a workspace's own key for the model")
    .description('The key for the model that a workspace brings, for operators.');
  addSet(group, io);
  const show = group
    .command('show')
    .description('Show what is known of the key; the key itself never comes back.')
    .addHelpText('after', '\nExample:\n  $ indelible ai-key show --workspace hono');
  withCommonOptions(show).action(async (options: CommonOptions) => {
    const { client, workspace } = askedFor(io, options);
    print(io, options, await client.aiKeys.status(workspace, { signal: io.signal }));
  });
  const remove = group
    .command('remove')
    .description("Remove the key. The service's own serves the workspace then, where it has one; else the rules judge.")
    .addHelpText('after', '\nExample:\n  $ indelible ai-key remove --workspace hono');
  withCommonOptions(remove).action(async (options: CommonOptions) => {
    const { client, workspace } = askedFor(io, options);
    const removed = await client.aiKeys.remove(workspace, { signal: io.signal });
    if (options.json) printJson(io, removed);
    else io.stdout.write(`removed the AI key of ${workspace}\n`);
  });
}

function addSet(group: Command, io: Io): void {
  const set = group
    .command('set')
    .description(
      'Set the key, read from stdin: other users of the machine see the arguments of a program, and the shell keeps them in its history.',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  $ indelible ai-key set --workspace hono < key.txt\n  $ pass show gemini | indelible ai-key set --workspace hono --model gemini-2.5-pro',
    );
  withCommonOptions(set)
    .option('--model <name>', "model that judges (default: the service's)")
    .option('--embedding-model <name>', "model that embeds (default: the service's)")
    .action(async (options: CommonOptions & { model?: string; embeddingModel?: string }) => {
      const { client, workspace } = askedFor(io, options);
      if (io.stdin.isTTY) throw new CliError(EXIT.usage, 'the key is read from stdin: ai-key set … < FILE');
      const key = (await textOf(io.stdin)).trim();
      if (key === '') throw new CliError(EXIT.usage, 'stdin is empty: give the key there');
      const wanted = {
        provider: 'gemini' as const,
        key,
        model: options.model,
        embedding_model: options.embeddingModel,
      };
      print(io, options, await client.aiKeys.set(workspace, wanted, { signal: io.signal }));
    });
}

function askedFor(io: Io, options: CommonOptions) {
  const { workspace } = options;
  if (workspace === undefined) throw new CliError(EXIT.usage, 'name the workspace: --workspace NAME');
  return { client: clientOf(io, { ...options, workspace: undefined }), workspace };
}

function print(io: Io, options: CommonOptions, status: AiKeyInfo): void {
  if (options.json) {
    printJson(io, status);
    return;
  }
  const { provider, model, embedding_model, set_at, set_by, usable } = status;
  io.stdout.write(
    renderPairs([
      ['provider', provider],
      ['model', model ?? "the service's"],
      ['embedding model', embedding_model ?? "the service's"],
      ['set', `${set_at} by ${set_by}`],
      ['usable', usable ? 'yes' : 'NO: set it again'],
    ]),
  );
}
