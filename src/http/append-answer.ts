import type { AppendResult, Queued } from '../../journal/index.ts';
import type { Progress } from './problem.ts';

/** What became of an append: recorded, or queued. */
export type Taken = AppendResult | Queued;

/** The answer of one append. Built by hand: it is that of the hot path, and all but the ids needs no escaping. */
export function takenJson(taken: Taken, withReceipts: boolean): string {
  return 'position' in taken ? queuedJson(taken, withReceipts) : recordedJson(taken, withReceipts);
}

function recordedJson(result: AppendResult, withReceipts: boolean): string {
  let json = `{"count":${result.count},"duplicates":${result.duplicates},"first_seq":${result.first_seq},"last_seq":${result.last_seq},"head_hash":"${result.head_hash}"`;
  if (!withReceipts) return `${json}}`;
  let separator = ',"receipts":[';
  for (const receipt of result.receipts) {
    json += `${separator}{"event_id":${JSON.stringify(receipt.event_id)},"seq":${receipt.seq},"event_hash":"${receipt.event_hash}","recorded_at":"${receipt.recorded_at}","ack":"${receipt.ack}"}`;
    separator = ',';
  }
  return `${json}]}`;
}

function queuedJson({ queued, position, receipts }: Queued, withReceipts: boolean): string {
  let json = `{"queued":${queued},"position":"${position}"`;
  if (!withReceipts) return `${json}}`;
  let separator = ',"receipts":[';
  for (const receipt of receipts) {
    json += `${separator}{"event_id":${JSON.stringify(receipt.event_id)},"ack":"queued"}`;
    separator = ',';
  }
  return `${json}]}`;
}

/** The answer of a long request that was taken in parts. */
export function progressJson(progress: Progress, headHash: string | undefined): string {
  const { events, duplicates, first_seq, last_seq, position } = progress;
  if (position !== undefined) return JSON.stringify({ queued: events, position });
  return JSON.stringify({ count: events, duplicates, first_seq, last_seq, head_hash: headHash ?? '' });
}
