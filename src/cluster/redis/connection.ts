import { Cluster, Redis as RedisClient } from 'ioredis';
import type { Logger } from 'pino';
import { IndelibleError } from '../../../journal/index.ts';

/** One server, or a cluster of them: both take the same commands. */
export type Redis = RedisClient | Cluster;

export type RedisParts = {
  url: string;
  log: Logger;
  /** What the connection is called in Redis (CLIENT LIST). */
  name: string;
};

/**
 * commands     short commands of many callers. While Redis is away they fail within about two seconds, and within
 *              COMMAND_TIMEOUT_MS where it does not answer; what failed may have happened.
 * blocking     one consumer's reads. It connects again for ever; a read that is under way when the connection is lost
 *              fails, because what Redis delivered into it is only in the consumer's pending entries now.
 * subscriber   subscriptions, made again by themselves after every connect.
 */
export type RedisUse = 'commands' | 'blocking' | 'subscriber';

const COMMAND_TIMEOUT_MS = 5_000;
/** Without a byte for so long while an answer is due, the connection is given up: the other end may be gone. */
export const SILENCE_MAX_MS = 10_000;
/** Between two attempts to connect. */
const CONNECT_DELAY_MIN_MS = 100;
const CONNECT_DELAY_MAX_MS = 500;
const RETRY_AFTER_S = 2;

/**
 * Connects in the background, and again whenever the connection is lost, until `disconnect` or `quit`. `url` is
 * `redis://user:password@host:port/database`, `rediss://…` (TLS), or
 * `redis-cluster://user:password@host:port,host:port`,
 * `rediss-cluster://…`: some nodes of a Redis Cluster, which name the others.
 * @throws Error where the URL is none of these
 */
export function openRedis(parts: RedisParts, use: RedisUse): Redis {
  const address = addressOf(parts.url);
  const options = { ...address.access, ...optionsOf(use), connectionName: parts.name };
  const redis =
    address.kind === 'server'
      ? new RedisClient({ ...options, ...address.node, db: address.db, retryStrategy: connectDelayMs })
      : new Cluster(address.nodes, {
          redisOptions: options,
          clusterRetryStrategy: connectDelayMs,
          // As for one server: a read whose connection is lost must fail, other commands are tried again for a moment.
          retryDelayOnFailover: use === 'blocking' ? 0 : 100,
          // A command that waits for a cluster that is wholly away would wait for ever.
          enableOfflineQueue: use !== 'commands',
        });
  logChanges(redis, parts.log.child({ redis: parts.name, use }), use === 'commands');
  return redis;
}

function optionsOf(use: RedisUse) {
  const options = { keepAlive: 10_000, connectTimeout: COMMAND_TIMEOUT_MS, socketTimeout: SILENCE_MAX_MS };
  if (use === 'subscriber') return { ...options, maxRetriesPerRequest: null };
  if (use === 'blocking') return { ...options, maxRetriesPerRequest: 0 };
  return { ...options, maxRetriesPerRequest: 2, commandTimeout: COMMAND_TIMEOUT_MS };
}

function connectDelayMs(attempts: number): number {
  return Math.min(CONNECT_DELAY_MAX_MS, CONNECT_DELAY_MIN_MS * attempts);
}

type Node = { host: string; port: number };
type Access = { username?: string; password?: string; tls?: object };
type Address = { access: Access } & ({ kind: 'server'; node: Node; db: number } | { kind: 'cluster'; nodes: Node[] });

/** The password never shows in a message. */
function addressOf(url: string): Address {
  const parts = /^(rediss?)(-cluster)?:\/\/(?:([^:@/]*)(?::([^@/]*))?@)?([^/?#]+)(?:\/(\d*))?$/.exec(url);
  const nodes = (parts?.[5] ?? '').split(',').map(nodeOf);
  const [first] = nodes;
  const isCluster = parts?.[2] !== undefined;
  if (!parts || !first || nodes.includes(undefined) || (!isCluster && nodes.length > 1))
    throw new Error('the URL of Redis is redis://host:port, rediss://host:port or redis-cluster://host:port,host:port');
  const access: Access = parts[1] === 'rediss' ? { tls: {} } : {};
  if (parts[3]) access.username = decodeURIComponent(parts[3]);
  if (parts[4]) access.password = decodeURIComponent(parts[4]);
  if (isCluster) return { kind: 'cluster', access, nodes: nodes.filter((node) => node !== undefined) };
  return { kind: 'server', access, node: first, db: Number(parts[6] ?? 0) };
}

function nodeOf(text: string): Node | undefined {
  const [, v6, name, port] = /^(?:\[([\da-fA-F:.]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = v6 ?? name;
  return host === undefined ? undefined : { host, port: Number(port ?? 6379) };
}

/**
 * One line when the connection is lost, however many attempts fail, and one when it is back; of those that come and go
 * with partitions only for who looks closely.
 */
function logChanges(redis: Redis, log: Logger, isMain: boolean): void {
  let isAway = false;
  const [warn, info] = isMain ? (['warn', 'info'] as const) : (['debug', 'debug'] as const);
  redis.on('error', (error: Error) => {
    if (isAway) return;
    isAway = true;
    log[warn]({ error: error.message }, 'redis is away: connecting again');
  });
  redis.on('close', () => {
    if (isAway) return;
    isAway = true;
    log[info]('the connection to redis is closed');
  });
  redis.on('ready', () => {
    isAway = false;
    log[info]('connected to redis');
  });
}

/** What a failed command is to callers. Whether it happened is not known, unless Redis refused it. */
export function redisError(error: unknown): IndelibleError {
  if (error instanceof IndelibleError) return error;
  return new IndelibleError('unavailable', `redis: ${saidBy(error)}`, {
    retryAfterS: RETRY_AFTER_S,
    cause: withoutCommand(error),
  });
}

/** Callers read it: what the driver advises its programmer is not for them. */
function saidBy(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const isGivenUp = error.name === 'MaxRetriesPerRequestError';
  return isGivenUp ? 'the connection was lost before the answer came' : error.message;
}

/** ioredis hangs the command on its errors, with its arguments: bodies and passwords, which no log line may hold. */
export function withoutCommand(error: unknown): unknown {
  if (error instanceof Error) Reflect.deleteProperty(error, 'command');
  return error;
}
