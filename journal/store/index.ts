export { DirectoryStore } from './directory.ts';
export { isCode, makeDirDurable, syncDir, writeFileDurable } from './durable.ts';
export { openS3Store } from './open-s3.ts';
export { probeStore } from './probe.ts';
