import { hash } from 'node:crypto';
import { type FieldError, valueText } from '../../journal/index.ts';
import { policyFault, pointerOf } from './fault.ts';
import { type PassageFile, type PolicyPassage, readPassage } from './passage-file.ts';
import { POLICY_FILE, POLICY_LIMITS } from './policy-file.ts';
import { type Condition, compileCondition, type Rule } from './rules.ts';

/** One version of the policies, checked. */
export type PolicySet = {
  name: string;
  /** As declared, `+`, and 12 hex digits that follow from all that was read: `1.0.0+0123456789ab`. */
  version: string;
  threshold: number;
  similarityMin: number;
  /** The last one matches everything. */
  rules: readonly Rule[];
  /** By id. */
  passages: readonly PolicyPassage[];
};

/** Texts of the files, and their names as errors give them. */
export type PolicyTexts = { policy: { file: string; text: string }; passages: readonly PassageFile[] };

type PolicyFile = ReturnType<typeof POLICY_FILE.parse>;

const DIGEST_DIGITS = 12;

/** @throws IndelibleError invalid: one line that names the file, the place in it and the fix */
export function parsePolicySet({ policy, passages: files }: PolicyTexts): PolicySet {
  const said = parseJson(policy.file, policy.text);
  const file = checkShape(policy.file, said);
  const faults = ruleFaults(file.rules);
  if (faults[0]) throw policyFault(policy.file, faults[0], ...faults.slice(1));
  const passages = files.map(readPassage).sort((a, b) => (a.id < b.id ? -1 : 1));
  const digest = hash('sha256', canonicalJson({ policy: said, passages })).slice(0, DIGEST_DIGITS);
  return {
    name: file.name,
    version: `${file.version}+${digest}`,
    threshold: file.threshold,
    similarityMin: file.similarity_min,
    rules: file.rules.map(({ id, when, risk_level, narrative }) => ({
      id,
      matches: compileCondition(when),
      riskLevel: risk_level,
      narrative,
    })),
    passages,
  };
}

function parseJson(file: string, text: string): unknown {
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch (error) {
    const message = `is not JSON: ${(error as Error).message.replaceAll(/\s+/g, ' ')}`;
    throw policyFault(file, { pointer: '', message });
  }
  const fault = structureFault(said, []);
  if (fault) throw policyFault(file, fault);
  return said;
}

/**
 * What schemas cannot say, found before they are asked: they would run out of stack, or not see the member. Texts are
 * such as the journal takes: they are recorded.
 */
function structureFault(value: unknown, path: readonly string[]): FieldError | undefined {
  if (typeof value === 'string') {
    const text = valueText(value);
    return text.ok ? undefined : { pointer: pointerOf(path), message: text.message };
  }
  if (typeof value !== 'object' || value === null) return undefined;
  if (path.length >= POLICY_LIMITS.depthMax) {
    return {
      pointer: pointerOf(path),
      message: `is nested deeper than ${POLICY_LIMITS.depthMax} levels: split the rule`,
    };
  }
  for (const [name, member] of Object.entries(value)) {
    const inside = [...path, name];
    if (name === '__proto__')
      return { pointer: pointerOf(inside), message: 'cannot be the name of a member: remove it' };
    const fault = structureFault(member, inside);
    if (fault) return fault;
  }
  return undefined;
}

function checkShape(file: string, said: unknown): PolicyFile {
  const checked = POLICY_FILE.safeParse(said, {
    error: ({ input }) => (input === undefined ? 'is missing' : undefined),
  });
  if (checked.success) return checked.data;
  const errors = checked.error.issues.flatMap((issue): FieldError[] => {
    if (issue.code !== 'unrecognized_keys') return [{ pointer: pointerOf(issue.path), message: issue.message }];
    const message = 'is not known here: remove it, or correct its spelling';
    return issue.keys.map((name) => ({ pointer: pointerOf([...issue.path, name]), message }));
  });
  throw policyFault(file, errors[0] ?? { pointer: '', message: 'is not a policy' }, ...errors.slice(1));
}

/** What holds between rules: that each can be told from the others and reached, and that the last one always answers. */
function ruleFaults(rules: PolicyFile['rules']): FieldError[] {
  const faults: FieldError[] = [];
  const seen = new Set<string>();
  for (const [index, { id, when }] of rules.entries()) {
    const isLast = index === rules.length - 1;
    const fault = (member: string, message: string) => faults.push({ pointer: `/rules/${index}/${member}`, message });
    if (seen.has(id)) fault('id', `"${id}" is the id of an earlier rule: give each its own`);
    seen.add(id);
    if (conditionCount(when) > POLICY_LIMITS.conditionsMax) {
      fault('when', `holds more than ${POLICY_LIMITS.conditionsMax} conditions: split the rule`);
    }
    if (isLast && when.type !== 'Always')
      fault('when', 'must be {"type":"Always"}: the last rule answers for the rest');
    if (!isLast && when.type === 'Always')
      fault('when', 'is Always, so the rules after it are never tried: move it last');
  }
  return faults;
}

function conditionCount(condition: Condition): number {
  if (condition.type === 'Not') return 1 + conditionCount(condition.of);
  if (condition.type !== 'All' && condition.type !== 'Any') return 1;
  return condition.of.reduce((count, part) => count + conditionCount(part), 1);
}

/** The same content gives the same text, however the files are laid out: members stand in the order of their names. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_name, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}
