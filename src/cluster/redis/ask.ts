import type { ChainableCommander, Redis as RedisClient } from 'ioredis';
import { IndelibleError } from '../../../journal/index.ts';
import { type Redis, redisError, withoutCommand } from './connection.ts';

/** The consumer group is not there: Redis lost its data, or nobody made it yet. `ensureGroup` makes it. */
export class NoGroupError extends IndelibleError {
  constructor(cause: unknown) {
    super('unavailable', 'redis: there is no such stream or consumer group', {
      retryAfterS: 1,
      cause: withoutCommand(cause),
    });
    this.name = 'NoGroupError';
  }
}

/**
 * The commands of ioredis, for both kinds of connection: their types are overloads that a union cannot call.
 * @throws NoGroupError, unavailable
 */
export async function ask<Answer>(redis: Redis, command: (client: RedisClient) => Promise<Answer>): Promise<Answer> {
  try {
    return await command(redis as RedisClient);
  } catch (error) {
    throw error instanceof Error && error.message.startsWith('NOGROUP') ? new NoGroupError(error) : redisError(error);
  }
}

/** Sends the commands together, and answers with their results in order. @throws NoGroupError, unavailable */
export function askAll(redis: Redis, commands: (pipeline: ChainableCommander) => void): Promise<unknown[]> {
  return ask(redis, async (client) => {
    const pipeline = client.pipeline();
    commands(pipeline);
    const replies = await pipeline.exec();
    return (replies ?? []).map(([error, result]) => {
      if (error) throw error;
      return result;
    });
  });
}
