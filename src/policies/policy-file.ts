import { z } from 'zod';
import { RISK_LEVELS } from '../../projections/index.ts';
import { SIGNAL_PATH } from './path.ts';
import type { Condition } from './rules.ts';

/** What one policy set may hold. Files are read whole, and rules are tried in turn for every signal. */
export const POLICY_LIMITS = {
  policyFileBytesMax: 256 * 1024,
  passageFileBytesMax: 16 * 1024,
  passagesMax: 200,
  rulesMax: 200,
  /** Of one rule, the groups counted too. */
  conditionsMax: 100,
  /** Levels of lists and objects in policy.json: conditions within conditions, and the values they compare with. */
  depthMax: 24,
  pathCharsMax: 256,
  narrativeCharsMax: 2_000,
  titleCharsMax: 200,
  nameCharsMax: 64,
} as const;

const { conditionsMax, narrativeCharsMax, nameCharsMax, pathCharsMax, rulesMax } = POLICY_LIMITS;

/** Of rules and passages: they are recorded with each verdict. */
export const ID_PATTERN = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;

const ID = z
  .string()
  .max(nameCharsMax)
  .regex(ID_PATTERN, 'must be small letters, digits and single hyphens, like cloud-extreme');

const PATH = z
  .string()
  .max(pathCharsMax)
  .regex(
    SIGNAL_PATH,
    'must name a member of a signal, like status or payload.region.name, with \\. for a dot in a name',
  )
  .describe('Dot path into the signal. A dot or backslash within a name has a backslash before it.');

const GROUP = (condition: z.ZodType<Condition>) => z.array(condition).min(1).max(conditionsMax);

const CONDITION: z.ZodType<Condition> = z
  .lazy(() =>
    z.discriminatedUnion('type', [
      z.strictObject({ type: z.literal('Always') }),
      z.strictObject({ type: z.literal('FieldEquals'), path: PATH, value: z.unknown() }),
      z.strictObject({ type: z.literal('FieldEmpty'), path: PATH }),
      z.strictObject({
        type: z.literal('FieldGreater'),
        path: PATH,
        than: z.number(),
        orEqual: z.boolean().optional(),
      }),
      z.strictObject({ type: z.literal('All'), of: GROUP(CONDITION) }),
      z.strictObject({ type: z.literal('Any'), of: GROUP(CONDITION) }),
      z.strictObject({ type: z.literal('Not'), of: CONDITION }),
    ]),
  )
  .meta({ id: 'condition' });

const RULE = z.strictObject({
  id: ID.describe('Recorded with each verdict; unique in the file.'),
  when: CONDITION,
  risk_level: z.enum(RISK_LEVELS),
  narrative: z
    .string()
    .max(narrativeCharsMax)
    .regex(/\S/, 'must say why, and what to do')
    .regex(/^[^{}]*$/, 'must be plain text without braces: nothing is filled in, a verdict may serve signals alike')
    .describe('Why, and what to do. Plain text: nothing is filled in.'),
});

/** policy.json. policies/policy.schema.json is made of it by test/policies/schema.test.ts. */
export const POLICY_FILE = z
  .strictObject({
    $schema: z.string().optional(),
    name: ID,
    version: z
      .string()
      .max(nameCharsMax)
      .regex(
        /^[0-9A-Za-z]+(?:[.-][0-9A-Za-z]+)*$/,
        'must be letters and digits with dots or hyphens between, like 1.2.0',
      )
      .describe('A digest of all that was read is added to it: 1.2.0+0123456789ab.'),
    threshold: z.number().min(0).max(1).describe('Signals with this anomaly score or more are judged.'),
    similarity_min: z.number().gt(0).max(1).describe('Cosine similarity from which on a verdict is reused.'),
    rules: z
      .array(RULE)
      .min(1)
      .max(rulesMax)
      .describe('Tried in this order; the first that matches answers. The last one, and only that, is Always.'),
  })
  .meta({ title: 'Policies of Indelible', description: 'See docs/policies.md.' });
