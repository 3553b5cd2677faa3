export { localDisk, SpoolDisk, type WalDisk, type WalFile } from './disk.ts';
export type { EncodedLine, LineRef } from './format.ts';
export { type RecoveredLine, type Recovery, recoverWal } from './recover.ts';
export { type ClosedWalFile, type SeqRange, Wal } from './wal.ts';
