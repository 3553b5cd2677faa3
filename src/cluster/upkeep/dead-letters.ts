import type { Redis as RedisClient } from 'ioredis';
import { assert, IndelibleError } from '../../../journal/index.ts';
import { addAll, DEAD_LETTERS, length, type Redis, redisError } from '../redis/index.ts';
import { type DeadLetter, deadLetterFields, deadLetterOf, type LetterHead, type NewDeadLetter } from './dead-letter.ts';

export type DeadLettersObserver = {
  added?(letter: NewDeadLetter, id: string): void;
  /** `entryId`: where it lies in its stream now. */
};

/** Letters are read so many at a time: one may hold a body of many megabytes. */
const READ_AT_ONCE = 10;

/** What could not be processed, with all its fields, until somebody decides what becomes of it. */
export class DeadLetters {
  readonly #redis: Redis;
  readonly #observer: DeadLettersObserver;

  constructor(redis: Redis, observer: DeadLettersObserver = {}) {
    this.#redis = redis;
    this.#observer = observer;
  }

  /**
   * To be called before the entry is acknowledged: a crash in between makes a second letter, never none.
   * @returns the letter's id
   * @throws IndelibleError unavailable
   */
  async add(letter: NewDeadLetter): Promise<string> {
    assert(letter.fields.size > 0, 'a dead letter holds the entry that it was');
    const [id = ''] = await addAll(this.#redis, [{ stream: DEAD_LETTERS, fields: deadLetterFields(letter) }]);
    this.#observer.added?.(letter, id);
    return id;
  }

  /** Oldest first, without their contents. `cursor`: nextCursor of the page before. @throws IndelibleError unavailable */
  async list({ cursor, limit }: { cursor: string | undefined; limit: number }): Promise<{
    letters: LetterHead[];
    nextCursor: string | null;
  }> {
    const letters: LetterHead[] = [];
    let after = cursor;
    while (letters.length < limit) {
      const count = Math.min(READ_AT_ONCE, limit - letters.length);
      const found = await this.#read(after === undefined ? '-' : `(${after}`, '+', count);
      for (const { fields: _, ...head } of found) letters.push(head);
      if (found.length < count) return { letters, nextCursor: null };
      after = letters.at(-1)?.id;
    }
    return { letters, nextCursor: after ?? null };
  }

  /** @throws IndelibleError not-found, unavailable */
  async get(id: string): Promise<DeadLetter> {
    const [letter] = await this.#read(id, id, 1);
    if (letter === undefined) throw new IndelibleError('not-found', `there is no dead letter ${id}`);
    return letter;
  }

  /**
   * Adds what the letter holds to its stream again, as it was, and then removes the letter. A crash in between leaves the
   * letter; replayed again, its ids are known and the journal takes each once.
   * @returns where it lies now
   * @throws IndelibleError not-found, unavailable
   */
  async replay(id: string): Promise<{ stream: string; entryId: string }> {
    const { fields, ...head } = await this.get(id);
    const [entryId = ''] = await addAll(this.#redis, [{ stream: head.stream, fields: Object.fromEntries(fields) }]);
    await this.#remove(id);
    return { stream: head.stream, entryId };
  }

  /** Removes the letter for good. @throws IndelibleError not-found, unavailable */
  async discard(id: string): Promise<void> {
    await this.get(id);
    await this.#remove(id);
  }

  /** How many there are. @throws IndelibleError unavailable */
  depth(): Promise<number> {
    return length(this.#redis, DEAD_LETTERS);
  }

  async #read(from: string, to: string, count: number): Promise<DeadLetter[]> {
    try {
      const raw = await (this.#redis as RedisClient).xrangeBuffer(DEAD_LETTERS, from, to, 'COUNT', count);
      return raw.map(([id, list]) => deadLetterOf(id.toString(), list));
    } catch (error) {
      throw redisError(error);
    }
  }

  async #remove(id: string): Promise<number> {
    try {
      return await this.#redis.xdel(DEAD_LETTERS, id);
    } catch (error) {
      throw redisError(error);
    }
  }
}
