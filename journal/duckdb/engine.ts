import { type DuckDBConnection, DuckDBInstance, type DuckDBValue } from '@duckdb/node-api';
import { IndelibleError } from '../errors.ts';

export type EngineOptions = {
  /** A database file, or ':memory:'. The file is locked: a second process that opens it fails. */
  path: string;
  /** Where DuckDB spills. */
  tempDir: string;
  memoryLimitBytes: number;
  threads: number;
  /** Queries at once. Each occupies a thread of libuv's pool, which the WAL's fdatasync needs too. */
  concurrency: number;
};

export type SqlValue = string | number | boolean | null;
export type Row = Record<string, unknown>;

/** DuckDB in this process, for trusted SQL only. Queries beyond `concurrency` wait their turn. */
export class Engine {
  readonly #instance: DuckDBInstance;
  readonly #idle: DuckDBConnection[] = [];
  #free: number;
  readonly #waiting: (() => void)[] = [];
  #closed = false;

  private constructor(instance: DuckDBInstance, concurrency: number) {
    this.#instance = instance;
    this.#free = concurrency;
  }

  /** @throws where another process holds the database file. */
  static async open(options: EngineOptions): Promise<Engine> {
    const instance = await DuckDBInstance.create(options.path, { threads: String(options.threads) });
    const engine = new Engine(instance, options.concurrency);
    const connection = await instance.connect();
    await connection.run(`SET memory_limit = '${options.memoryLimitBytes} B'`);
    await connection.run(`SET temp_directory = '${options.tempDir.replaceAll("'", "''")}'`);
    await connection.run("SET GLOBAL TimeZone = 'UTC'");
    await connection.run('SET autoinstall_known_extensions = false');
    await connection.run('SET autoload_known_extensions = false');
    await connection.run('SET parquet_metadata_cache = true');
    engine.#idle.push(connection);
    return engine;
  }

  /** Rows as objects: BIGINT is bigint, BLOB is Uint8Array-like, TIMESTAMPTZ is Date (microseconds are lost: select text). */
  async all<T extends Row = Row>(sql: string, params: readonly SqlValue[] = []): Promise<T[]> {
    return this.#withConnection(async (connection) => {
      const reader = await connection.runAndReadAll(sql, params as DuckDBValue[]);
      return reader.getRowObjectsJS() as T[];
    });
  }

  /** The answer by columns: for many narrow rows, where an object for each would cost more than the query. */
  async columns(sql: string): Promise<unknown[][]> {
    return this.#withConnection(async (connection) => (await connection.runAndReadAll(sql)).getColumnsJS());
  }

  /** Runs `work` with a connection of its own, for several statements that belong together. */
  async session<T>(
    work: (run: (sql: string, params?: readonly SqlValue[]) => Promise<Row[]>) => Promise<T>,
  ): Promise<T> {
    return this.#withConnection((connection) =>
      work(async (sql, params = []) => {
        const reader = await connection.runAndReadAll(sql, params as DuckDBValue[]);
        return reader.getRowObjectsJS() as Row[];
      }),
    );
  }

  close(): void {
    this.#closed = true;
    for (const connection of this.#idle.splice(0)) connection.closeSync();
    this.#instance.closeSync();
  }

  async #withConnection<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
    if (this.#free === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#free -= 1;
    try {
      if (this.#closed) throw new Error('the query engine is closed');
      const connection = this.#idle.pop() ?? (await this.#instance.connect());
      return await work(connection).finally(() => this.#idle.push(connection));
    } catch (error) {
      throw readFault(error);
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}

/** A file that cannot be opened or read: the store is away, which is nobody's mistake and may pass. */
function readFault(error: unknown): unknown {
  if (!(error instanceof Error) || !error.message.startsWith('IO Error')) return error;
  return new IndelibleError('unavailable', 'the store cannot be read at the moment', { cause: error, retryAfterS: 5 });
}
