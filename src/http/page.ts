import { type EventPage, eventJson } from '../../queries/index.ts';

/** `{events, next_cursor, complete_through}`; values are spliced in as they were recorded. */
export function pageResponse(page: EventPage, cursorAt: (seq: number) => string): Response {
  const last = page.events.at(-1);
  const cursor = page.more && last !== undefined ? JSON.stringify(cursorAt(last.seq)) : 'null';
  const events = page.events.map((event) => eventJson(event)).join(',');
  return new Response(`{"events":[${events}],"next_cursor":${cursor},"complete_through":${page.complete_through}}`, {
    headers: { 'Content-Type': 'application/json' },
  });
}
