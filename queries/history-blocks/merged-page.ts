import type { JournalEvent } from '../../journal/index.ts';
import { matches } from '../filters.ts';
import { type CommittedQuery, Page } from '../rows.ts';
import type { BlockFile } from './block-file.ts';
import type { EntityKey } from './entity-key.ts';

/** Blocks read for one page, some megabytes of text: a condition that few events meet is DuckDB's. */
const PAGE_BLOCKS_MAX = 256;

/** One file's events of the entity, the next one at hand. */
type Stream = { pieces: AsyncGenerator<JournalEvent[] | 'large'>; piece: JournalEvent[]; at: number };

/**
 * The first matching events of the files in the order of the query, as `committedEvents` gives them; undefined where
 * they are not all kept in blocks, or too many blocks had to be read. @throws corrupt
 */
export async function mergedPage(
  files: readonly BlockFile[],
  key: EntityKey,
  query: CommittedQuery,
): Promise<{ events: JournalEvent[]; cut: boolean } | undefined> {
  const { filter, order, limit, bytesMax, lean } = query;
  const range = { fromSeq: query.range.above + 1, toSeq: query.range.upTo, order };
  let blocks = 0;
  /** False: a block that is not to be used. */
  const advance = async (stream: Stream): Promise<boolean> => {
    stream.at += 1;
    while (stream.at >= stream.piece.length) {
      const next = await stream.pieces.next();
      if (next.done) break;
      blocks += 1;
      if (next.value === 'large' || blocks > PAGE_BLOCKS_MAX) return false;
      stream.piece = next.value;
      stream.at = 0;
    }
    return true;
  };
  const streams = files.map((file): Stream => ({ pieces: file.pieces(key, range), piece: [], at: -1 }));
  const begun = await Promise.all(streams.map(advance));
  if (begun.includes(false)) return undefined;
  const page = new Page(limit, bytesMax);
  for (;;) {
    const stream = nextStream(streams, order);
    const event = stream?.piece[stream.at];
    if (stream === undefined || event === undefined) return { events: page.events, cut: false };
    if (matches(filter, event)) {
      if (!page.add(lean ? { ...event, old_value: null, metadata: null } : event)) {
        return { events: page.events, cut: true };
      }
    }
    if (!(await advance(stream))) return undefined;
  }
}

function nextStream(streams: readonly Stream[], order: 'asc' | 'desc'): Stream | undefined {
  let next: Stream | undefined;
  for (const stream of streams) {
    const seq = stream.piece[stream.at]?.seq;
    const best = next?.piece[next.at]?.seq;
    if (seq !== undefined && (best === undefined || (order === 'asc' ? seq < best : seq > best))) next = stream;
  }
  return next;
}
