export { type CursorScope, decodeCursor, encodeCursor } from './cursor.ts';
export { eventJson } from './event-json.ts';
export { type EventFinder, eventsFrom, eventWithPredecessor } from './events.ts';
export { type EventFilter, matches } from './filters.ts';
export { type HistoryQuery, history } from './history.ts';
export { type RecentQuery, recent } from './recent.ts';
export type { EventPage } from './rows.ts';
export { type EntityStateAnswer, type StateQuery, stateAt } from './state.ts';
