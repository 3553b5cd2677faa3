import { pino } from 'pino';
import { openRedis, type Redis, type RedisUse } from '../../src/cluster/redis/index.ts';

/** Connections of one test, which are closed at its end. */
export class RedisLab {
  readonly #opened: Redis[] = [];

  open(url: string, use: RedisUse = 'commands'): Redis {
    const redis = openRedis({ url, log: pino({ level: 'silent' }), name: 'test' }, use);
    this.#opened.push(redis);
    return redis;
  }

  /** Resolves once it can be used: the nodes of a cluster are known by then. */
  async ready(url: string, use: RedisUse = 'commands'): Promise<Redis> {
    const redis = this.open(url, use);
    if (redis.status !== 'ready') await new Promise((resolve) => redis.once('ready', resolve));
    return redis;
  }

  dispose(): void {
    for (const redis of this.#opened.splice(0)) redis.disconnect();
  }
}
