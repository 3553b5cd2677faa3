export { type FileHolder, type HeldFiles, type HoldableFile, withHeld } from './held.ts';
export { type CacheObserver, SegmentCache } from './segment-cache.ts';
