import { join } from 'node:path';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { SHIPPED_POLICIES } from '../../src/policies/index.ts';
import { POLICY_FILE } from '../../src/policies/policy-file.ts';

it('policy.schema.json is what the service checks; `npm test -- test/policies/schema.test.ts -u` writes it', async () => {
  const schema = JSON.stringify(z.toJSONSchema(POLICY_FILE), undefined, 2);
  await expect(`${schema}\n`).toMatchFileSnapshot(join(SHIPPED_POLICIES, 'policy.schema.json'));
});
