export type { CreatedKey, HoldsClient, KeysClient, NewKey, WorkspacesClient } from './admin.ts';
export type { ChangeContext, Entity, IngestedFile } from './changes.ts';
export { type AppendOptions, type CallOptions, type ClientOptions, IndelibleClient } from './client.ts';
export { type ClientErrorKind, IndelibleClientError } from './errors.ts';
export type { IngestOptions } from './ingest.ts';
export type { RetryPolicy } from './retry.ts';
export type { TailOptions } from './tail.ts';
export { systemTimer, type Timer } from './timer.ts';
export type * from './types.ts';
