import type { Journals } from '../../journal/index.ts';
import type { AxiomIntakeService, ComplianceService } from './services.ts';

/** Signals go straight into the journal, which is then the queue they are judged from. */
export function journalAxioms(journals: Journals, compliance: Pick<ComplianceService, 'wake'>): AxiomIntakeService {
  return {
    async enqueue(workspace, drafts) {
      const result = await journals.append(workspace, drafts, { ack: 'durable', create: true });
      compliance.wake(workspace);
      const { count, duplicates, first_seq, last_seq } = result;
      return { accepted: count, duplicates, first_seq, last_seq };
    },
  };
}
