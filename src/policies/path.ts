import type { Axiom } from '../../projections/index.ts';

/**
 * Dot paths into a signal: `status`, `payload.region.name`, `payload.readings.0`. A name that holds a dot or a
 * backslash has a backslash before it: `payload.net\.rx`. Empty names cannot be written.
 */

/** Members of a signal that hold one value: a path ends with them. */
const SIGNAL_FIELDS = [
  'source_id',
  'domain',
  'status',
  'metric_value',
  'anomaly_score',
  'emitted_at',
  'entity_type',
  'entity_id',
  'correlation_id',
] as const satisfies readonly Exclude<keyof Axiom, 'payload'>[];

const NAME = String.raw`(?:[^.\\]|\\[.\\])+`;

/** A path that may find something in a signal: what it names first is a member that signals have. */
export const SIGNAL_PATH = new RegExp(String.raw`^(?:${SIGNAL_FIELDS.join('|')}|payload(?:\.${NAME})*)$`);

const NAMES = new RegExp(NAME, 'g');
const ESCAPED = /\\([.\\])/g;
const INDEX = /^(?:0|[1-9]\d*)$/;

/**
 * What a path reads of a JSON value; undefined where nothing is there. Objects are entered by their own members, lists
 * by their indices, and nothing else is entered: `length` and what objects inherit are not there.
 */
export function readerOf(path: string): (context: unknown) => unknown {
  const names = (path.match(NAMES) ?? []).map((name) => name.replaceAll(ESCAPED, '$1'));
  const steps = names.map((name) => ({ name, isIndex: INDEX.test(name) }));
  return (context) => {
    let found = context;
    for (const { name, isIndex } of steps) {
      if (typeof found !== 'object' || found === null || !Object.hasOwn(found, name)) return undefined;
      if (!isIndex && Array.isArray(found)) return undefined;
      found = (found as Record<string, unknown>)[name];
    }
    return found;
  };
}
