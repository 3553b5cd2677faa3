export { encodeVector, entryOf, type VerdictEntry } from './entries.ts';
export { fingerprintOf } from './fingerprint.ts';
export { localEmbedder } from './local-embedder.ts';
export { VerdictVectors } from './verdict-index.ts';
