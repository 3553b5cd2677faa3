export { type Found, HistoryBlocks, type HistoryObserver } from './history-blocks.ts';
