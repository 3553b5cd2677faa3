#!/usr/bin/env node
// The command line from a clone: installs what is missing, then runs src/main.ts under the pinned Node.
import { run } from '../scripts/bootstrap.mjs';

run('src/main.ts', process.argv.slice(2));
