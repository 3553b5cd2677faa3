import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { EVENT_COLUMNS, EVENT_SELECT, segmentsSql, sqlString } from '../../../journal/index.ts';
import { BlockWriter } from '../block-writer.ts';
import { EVENT_BYTES_MAX } from '../format.ts';
import type { BuildJob } from './protocol.ts';

export async function openBuilder(spillDir: string, memoryBytes: number): Promise<DuckDBConnection> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  const connection = await instance.connect();
  const settings = [
    `memory_limit = '${memoryBytes} B'`,
    `temp_directory = ${sqlString(spillDir)}`,
    "GLOBAL TimeZone = 'UTC'",
    'autoinstall_known_extensions = false',
    'autoload_known_extensions = false',
    // A segment is read once.
    'enable_external_file_cache = false',
  ];
  for (const setting of settings) await connection.run(`SET ${setting}`);
  return connection;
}

/**
 * Writes the history blocks of a segment. @returns their bytes
 * @throws Error where the segment cannot be read or is not what the table log says; then there may be a part of a file
 */
export async function buildBlocks(
  connection: DuckDBConnection,
  { segmentPath, outPath, source }: BuildJob,
): Promise<number> {
  const writer = new BlockWriter(outPath);
  try {
    const result = await connection.stream(linesSql(segmentPath));
    // A stream that fails just ends: the writer counts the rows.
    for (;;) {
      const chunk = await result.fetchChunk();
      if (chunk === null || chunk.rowCount === 0) break;
      const [ids = [], seqs = [], columns = []] = chunk.getColumns();
      for (let row = 0; row < ids.length; row += 1) {
        writer.add(ids[row] as string, Number(seqs[row]), columns[row] as string);
      }
    }
    return writer.finish(source);
  } finally {
    writer.close();
  }
}

/** The lines without their entity_id, see format.ts. */
function linesSql(path: string): string {
  const columns = EVENT_COLUMNS.filter((name) => name !== 'entity_id' && name !== 'seq');
  const bytes = ['old_value', 'new_value', 'metadata'].map((name) => `coalesce(strlen(${name}), 0)`).join(' + ');
  const events = `SELECT ${EVENT_SELECT}, ${bytes} > ${EVENT_BYTES_MAX} AS is_large FROM (${segmentsSql([path])})`;
  const line = `CASE WHEN is_large THEN json_array(seq) ELSE json_array(seq, ${columns.join(', ')}) END`;
  return `SELECT entity_id, seq, CAST(${line} AS VARCHAR) AS line FROM (${events}) ORDER BY entity_id, seq`;
}
