import { ACTIVITY_DAILY } from './activity-daily.ts';
import { COMPLIANCE_EVENTS } from './compliance-events.ts';
import type { Projection } from './definition.ts';

/** Every projection that is kept in the store. Another one is a file of its own, and its line here. */
export const PROJECTIONS: readonly Projection[] = [COMPLIANCE_EVENTS, ACTIVITY_DAILY];
