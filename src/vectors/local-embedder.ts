import type { Embedder } from '../judging/index.ts';

/** The features, their hash and their weights are part of the name: another of any of them is another model. */
export const LOCAL_EMBEDDING_MODEL = 'local-hash-256-v1';
const DIMENSIONS = 256;

const WORD_WEIGHT = 1;
const PAIR_WEIGHT = 1;
/** A word of n letters has about n of them: together they weigh as much as the word itself. */
const TRIGRAM_WEIGHT = 0.25;

const WORD = /[\p{L}\p{N}_.+-]+/gu;

/** Embeds without a model and without asking anybody: the same text gives the same vector, on every machine. */
export const localEmbedder: Embedder = {
  model: LOCAL_EMBEDDING_MODEL,
  dimensions: DIMENSIONS,
  isLocal: true,
  embed: async (texts) => texts.map(localVector),
};

/**
 * The unit vector of a text: its words, pairs of neighbouring words and the words' character trigrams, each added to
 * the dimension and with the sign that its hash says (Weinberger et al., "Feature Hashing for Large Scale Multitask
 * Learning", 2009). A feature counts as the square root of its occurrences. A text without a word gives the first axis.
 */
export function localVector(text: string): Float32Array {
  const sums = new Float64Array(DIMENSIONS);
  for (const [feature, weight] of featuresOf(text)) {
    const hash = hashOf(feature);
    const dimension = hash % DIMENSIONS;
    sums[dimension] = (sums[dimension] ?? 0) + (hash >= 0x80000000 ? -weight : weight);
  }
  let square = 0;
  for (const sum of sums) square += sum * sum;
  if (square === 0) sums[0] = square = 1;
  const norm = Math.sqrt(square);
  return Float32Array.from(sums, (sum) => sum / norm);
}

/** Each feature once, with its weight. The kinds are told apart by their first character. */
function featuresOf(text: string): Map<string, number> {
  const counts = new Map<string, number>();
  const count = (feature: string): void => {
    counts.set(feature, (counts.get(feature) ?? 0) + 1);
  };
  let before = '';
  for (const [word] of text.toLowerCase().matchAll(WORD)) {
    count(`w${word}`);
    count(`p${before} ${word}`);
    const letters = `^${word}$`;
    for (let start = 0; start + 3 <= letters.length; start += 1) count(`t${letters.slice(start, start + 3)}`);
    before = word;
  }
  for (const [feature, times] of counts) counts.set(feature, weightOf(feature) * Math.sqrt(times));
  return counts;
}

function weightOf(feature: string): number {
  if (feature.startsWith('w')) return WORD_WEIGHT;
  return feature.startsWith('p') ? PAIR_WEIGHT : TRIGRAM_WEIGHT;
}

/** FNV-1a over UTF-16 units, finished as MurmurHash3's fmix32 so that low and high bits are independent. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
