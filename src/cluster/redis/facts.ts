import { once } from 'node:events';
import { Cluster } from 'ioredis';
import { ask } from './ask.ts';
import type { Redis } from './connection.ts';

/** What a write that Redis answered survives: `always` the loss of power, `everysec` but for a second, `no` nothing. */
export type Durability = 'always' | 'everysec' | 'no' | 'unknown';
export type RedisFacts = { version: string; durability: Durability };

const VERSION_MIN = 7;
const READY_WITHIN_MS = 5_000;

/**
 * What the service has to know of Redis, or of the weakest node of a cluster, before it entrusts anything to it.
 * @throws Error that names the fix, where it cannot be used; unavailable where it is not there
 */
export async function checkRedis(redis: Redis): Promise<RedisFacts> {
  if (!(redis instanceof Cluster)) return factsOfNode(redis);
  // A cluster's nodes are known once it is ready; without any, a command tells what is wrong.
  if (redis.status !== 'ready')
    await once(redis, 'ready', { signal: AbortSignal.timeout(READY_WITHIN_MS) }).catch(() => {});
  await ask(redis, (client) => client.dbsize());
  const facts = await Promise.all(redis.nodes('master').map(factsOfNode));
  return facts.reduce(weaker);
}

async function factsOfNode(node: Redis): Promise<RedisFacts> {
  const info = await ask(node, (client) => client.info());
  return readFacts(info, await syncSetting(node));
}

/** undefined where CONFIG is refused, as managed services do. */
async function syncSetting(node: Redis): Promise<string | undefined> {
  try {
    const [, setting] = (await node.config('GET', 'appendfsync')) as string[];
    return setting;
  } catch (error) {
    if (error instanceof Error && /^(NOPERM|ERR unknown)/.test(error.message)) return undefined;
    return ask(node, () => Promise.reject(error));
  }
}

/**
 * @param info the answer to INFO
 * @param appendfsync that setting; undefined: not known
 * @throws Error that names the fix, where this Redis cannot be used
 */
export function readFacts(info: string, appendfsync: string | undefined): RedisFacts {
  const member = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1];
  // Valkey says here with which version of Redis it is compatible.
  const version = member('redis_version') ?? 'unknown';
  if (!(Number.parseInt(version, 10) >= VERSION_MIN))
    throw new Error(`Redis ${version} is too old: use Redis ${VERSION_MIN} or newer, or Valkey`);
  const policy = member('maxmemory_policy') ?? 'noeviction';
  if (policy !== 'noeviction')
    throw new Error(
      `Redis may evict events under its maxmemory-policy ${policy}: set it to noeviction (CONFIG SET maxmemory-policy noeviction, and in its configuration file)`,
    );
  return { version, durability: durabilityOf(member('aof_enabled') === '1', appendfsync) };
}

function durabilityOf(hasLog: boolean, appendfsync: string | undefined): Durability {
  if (!hasLog) return 'no';
  return appendfsync === 'always' || appendfsync === 'everysec' || appendfsync === 'no' ? appendfsync : 'unknown';
}

const WEAKEST_FIRST: readonly Durability[] = ['no', 'unknown', 'everysec', 'always'];

function weaker(a: RedisFacts, b: RedisFacts): RedisFacts {
  return WEAKEST_FIRST.indexOf(b.durability) < WEAKEST_FIRST.indexOf(a.durability) ? b : a;
}
