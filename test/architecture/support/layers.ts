// The one place that says which module is of which kind.

/** Modules that do no I/O and take clock and randomness as arguments. */
export const pureModules: readonly RegExp[] = [
  /^journal\/event[^/]*\.ts$/,
  /^journal\/(fields|field-reader|validate|canonical|time|json-text|limits|errors|id-index)\.ts$/,
  /^journal\/table\/(actions|layout|stats)\.ts$/,
  // All but the door and what keeps projections in the store.
  /^projections\/(?!index\.ts$|run\/)/,
  /^src\/judging\//,
  /^src\/policies\/(?!index\.ts$|load\.ts$)/,
  /^src\/cluster\/pressure\/pressure-level\.ts$/,
  /^src\/cluster\/partitions\/(backoff|fair-share|in-flight|own-lease|reply-text)\.ts$/,
  /^src\/cluster\/redis\/(entry|axiom-message|fields|draft|names)\.ts$/,
  /^src\/vectors\/(entries|fingerprint|local-embedder|record|sketch|sketch-table)\.ts$/,
];

/** The typed client: it runs in a browser as well. */
export const browserModules = /^src\/client\//;

export function isPure(path: string): boolean {
  return pureModules.some((pattern) => pattern.test(path));
}

/** What pure code may not import: the outside world. */
export const outsideWorld: readonly RegExp[] = [
  /^(node:)?(fs|net|tls|dgram|dns|http|https|http2|child_process|cluster|worker_threads|os|process|timers|perf_hooks)(\/|$)/,
  /^@duckdb\//,
  /^(hono|pino|prom-client|ioredis|commander)(\/|$)/,
  /^(@hono|@aws-sdk|@google)\//,
];

/** Of node:crypto, pure code uses what gives the same answer twice. */
export const impureCryptoNames = /^(random|getRandom|generateKey|generatePrime|webcrypto|default$|\*$)/;
