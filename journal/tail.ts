import { Buffer } from 'node:buffer';
import { assert } from './errors.ts';
import type { JournalEvent } from './event.ts';
import type { LineRef } from './wal/index.ts';

const BLOCK_EVENTS = 1024;

/** Up to BLOCK_EVENTS lines in typed arrays: nothing here is an object per event, so the collector has no work. */
class Block {
  readonly firstSeq: number;
  count = 0;
  readonly buffers: Buffer[] = [];
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;
  readonly entityHashes: Uint32Array;

  constructor(firstSeq: number) {
    this.firstSeq = firstSeq;
    this.starts = new Uint32Array(BLOCK_EVENTS);
    this.ends = new Uint32Array(BLOCK_EVENTS);
    this.entityHashes = new Uint32Array(BLOCK_EVENTS);
  }
}

/** FNV-1a over UTF-16 units: a filter for the entity's events, confirmed by the events themselves. */
export function entityHash(entityId: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < entityId.length; i++) hash = Math.imul(hash ^ entityId.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** A run of consecutive events in memory, as WAL lines. */
export class TailView {
  readonly #blocks: readonly Block[];
  readonly fromSeq: number;
  readonly toSeq: number;

  constructor(blocks: readonly Block[], fromSeq: number, toSeq: number) {
    this.#blocks = blocks;
    this.fromSeq = fromSeq;
    this.toSeq = toSeq;
  }

  *events(fromSeq = this.fromSeq, toSeq = this.toSeq): Generator<JournalEvent> {
    for (const { block, index } of this.#slots(Math.max(fromSeq, this.fromSeq), Math.min(toSeq, this.toSeq))) {
      yield eventAt(block, index);
    }
  }

  *eventsDescending(): Generator<JournalEvent> {
    for (let b = this.#blocks.length - 1; b >= 0; b--) {
      const block = this.#blocks[b] as Block;
      for (let index = Math.min(block.count - 1, this.toSeq - block.firstSeq); index >= 0; index--) {
        if (block.firstSeq + index < this.fromSeq) return;
        yield eventAt(block, index);
      }
    }
  }

  *ofEntity(entityId: string): Generator<JournalEvent> {
    const wanted = entityHash(entityId);
    for (const block of this.#blocks) {
      const { entityHashes } = block;
      const last = Math.min(this.toSeq - block.firstSeq, block.count - 1);
      // A search of the array itself: a question looks at every event of the tail.
      let index = entityHashes.indexOf(wanted, Math.max(this.fromSeq - block.firstSeq, 0));
      for (; index >= 0 && index <= last; index = entityHashes.indexOf(wanted, index + 1)) {
        const event = eventAt(block, index);
        if (event.entity_id === entityId) yield event;
      }
    }
  }

  /** Those of one entity type from a position on, ascending; the others are passed over without being read. */
  *ofType(entityType: string, fromSeq: number): Generator<JournalEvent> {
    // A quote within a text is escaped, so these bytes are a member of the event and nothing else.
    const member = Buffer.from(`"entity_type":${JSON.stringify(entityType)}`);
    for (const { block, index } of this.#slots(Math.max(fromSeq, this.fromSeq), this.toSeq)) {
      const line = (block.buffers[index] as Buffer).subarray(block.starts[index], block.ends[index]);
      if (line.includes(member)) yield eventAt(block, index);
    }
  }

  /** The lines' bytes, newline included, in pieces that are contiguous in memory. */
  *pieces(fromSeq: number, toSeq: number): Generator<Buffer> {
    let open: { buffer: Buffer; start: number; end: number } | undefined;
    for (const { block, index } of this.#slots(Math.max(fromSeq, this.fromSeq), Math.min(toSeq, this.toSeq))) {
      const buffer = block.buffers[index] as Buffer;
      const start = block.starts[index] as number;
      const end = (block.ends[index] as number) + 1;
      if (open && open.buffer === buffer && open.end === start) {
        open.end = end;
      } else {
        if (open) yield open.buffer.subarray(open.start, open.end);
        open = { buffer, start, end };
      }
    }
    if (open) yield open.buffer.subarray(open.start, open.end);
  }

  *#slots(fromSeq: number, toSeq: number): Generator<{ block: Block; index: number }> {
    for (const block of this.#blocks) {
      const first = Math.max(fromSeq - block.firstSeq, 0);
      const last = Math.min(toSeq - block.firstSeq, block.count - 1);
      for (let index = first; index <= last; index++) yield { block, index };
    }
  }
}

/** The events of one journal that are not committed yet: staged ones too, of which only the durable are shown. */
export class Tail {
  #blocks: Block[] = [];
  #nextSeq: number;

  constructor(nextSeq: number) {
    this.#nextSeq = nextSeq;
  }

  push(seq: number, line: LineRef, entityId: string): void {
    assert(seq === this.#nextSeq, 'I2: the tail grows without gaps');
    let block = this.#blocks.at(-1);
    if (!block || block.count === BLOCK_EVENTS) {
      block = new Block(seq);
      this.#blocks.push(block);
    }
    block.buffers[block.count] = line.buffer;
    block.starts[block.count] = line.start;
    block.ends[block.count] = line.end;
    block.entityHashes[block.count] = entityHash(entityId);
    block.count += 1;
    this.#nextSeq += 1;
  }

  event(seq: number): JournalEvent | undefined {
    const first = this.#blocks[0];
    if (!first || seq < first.firstSeq || seq >= this.#nextSeq) return undefined;
    // Blocks begin anywhere after a roll-back, so they are searched, newest first.
    for (let b = this.#blocks.length - 1; b >= 0; b--) {
      const block = this.#blocks[b] as Block;
      if (seq >= block.firstSeq) return eventAt(block, seq - block.firstSeq);
    }
    return undefined;
  }

  view(fromSeq: number, toSeq: number): TailView {
    return new TailView([...this.#blocks], fromSeq, toSeq);
  }

  /** Forgets events up to and including `seq`: they are committed. Views taken before keep theirs. */
  dropThrough(seq: number): void {
    this.#blocks = this.#blocks.filter((block) => block.firstSeq + block.count - 1 > seq);
  }

  /** Forgets events from `seq` on: they were staged and could not be written. */
  rollBackTo(seq: number): void {
    const kept = this.#blocks.filter((block) => block.firstSeq < seq);
    const last = kept.pop();
    if (last) kept.push(copyOf(last, Math.min(last.count, seq - last.firstSeq)));
    this.#blocks = kept;
    this.#nextSeq = seq;
  }
}

/** A view may hold the block that is cut: it keeps the old one. */
function copyOf(block: Block, count: number): Block {
  const copy = new Block(block.firstSeq);
  copy.count = count;
  copy.buffers.push(...block.buffers.slice(0, count));
  copy.starts.set(block.starts.subarray(0, count));
  copy.ends.set(block.ends.subarray(0, count));
  copy.entityHashes.set(block.entityHashes.subarray(0, count));
  return copy;
}

function eventAt(block: Block, index: number): JournalEvent {
  const buffer = block.buffers[index] as Buffer;
  return eventOfLine(buffer.toString('utf8', block.starts[index] as number, block.ends[index] as number));
}

function eventOfLine(text: string): JournalEvent {
  const line = JSON.parse(text) as JournalEvent;
  return {
    seq: line.seq,
    event_id: line.event_id,
    occurred_at: line.occurred_at,
    recorded_at: line.recorded_at,
    workspace_id: line.workspace_id,
    entity_type: line.entity_type,
    entity_id: line.entity_id,
    field: line.field,
    action: line.action,
    old_value: line.old_value,
    new_value: line.new_value,
    actor: line.actor,
    actor_type: line.actor_type,
    source: line.source,
    correlation_id: line.correlation_id,
    metadata: line.metadata,
    event_hash: line.event_hash,
  };
}
