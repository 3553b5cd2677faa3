import { Lab } from '../support/journal-lab.ts';
import { journalsContract } from './journals-contract.ts';

journalsContract('a process with a directory', async () => {
  const lab = new Lab();
  let journals = await lab.open();
  return {
    journals,
    restart: async () => {
      await lab.close(journals);
      journals = await lab.open();
      return journals;
    },
    dispose: () => lab.dispose(),
  };
});
