import type { RequestLog } from './request-log.ts';
import type { App } from './route.ts';
import type { Services } from './services.ts';

export function addQueryRoutes(_app: App, _services: Services, _requestLog: RequestLog): void {}
