import { IndelibleError } from '../errors.ts';
import { GENESIS, type JournalStart } from '../event.ts';
import type { MetaData } from './actions.ts';

/** What retention keeps among the table's properties. Values are strings, as Delta has them. */
const APPEND_ONLY = 'delta.appendOnly';
const FIRST_SEQ = 'indelible.firstSeq';
const BEFORE_HASH = 'indelible.beforeHash';
/** A removal that was ordered and is not finished. */
const ORDER = 'indelible.retention';

/** @throws corrupt */
export function startOf(workspace: string, { configuration }: MetaData): JournalStart {
  const firstSeq = configuration[FIRST_SEQ];
  const beforeHash = configuration[BEFORE_HASH];
  if (firstSeq === undefined && beforeHash === undefined) return GENESIS;
  if (/^\d{1,10}$/.test(firstSeq ?? '') && /^[0-9a-f]{64}$/.test(beforeHash ?? '')) {
    return { firstSeq: Number(firstSeq), beforeHash: String(beforeHash) };
  }
  throw new IndelibleError(
    'corrupt',
    `${workspace}: the table's ${FIRST_SEQ} and ${BEFORE_HASH} are not as we write them`,
  );
}

export function orderOf({ configuration }: MetaData): string | undefined {
  return configuration[ORDER];
}

/** While a removal is under way: a table that is append-only forbids it. */
export function orderedProperties({ configuration }: MetaData, order: string): Record<string, string> {
  return { ...configuration, [APPEND_ONLY]: 'false', [ORDER]: order };
}

export function startProperties({ configuration }: MetaData, start: JournalStart): Record<string, string> {
  return { ...configuration, [FIRST_SEQ]: String(start.firstSeq), [BEFORE_HASH]: start.beforeHash };
}

export function settledProperties({ configuration }: MetaData): Record<string, string> {
  const { [ORDER]: _, ...rest } = configuration;
  return { ...rest, [APPEND_ONLY]: 'true' };
}
