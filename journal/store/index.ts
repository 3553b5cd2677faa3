export { DirectoryStore } from './directory.ts';
export { isCode, makeDirDurable, syncDir, writeFileDurable } from './durable.ts';
